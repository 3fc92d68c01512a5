package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Kind is what goes wrong.
type Kind string

// The kinds of faults.
const (
	KillServer     Kind = "kill a server"
	StopServer     Kind = "stop a server in order"
	KillClickHouse Kind = "kill ClickHouse"
	KillRedis      Kind = "kill Redis"
	KillAll        Kind = "kill everything"
	FreezeServer   Kind = "freeze a server" // SIGSTOP, for longer than the deadlines
	FreezeStore    Kind = "freeze a store"
	CutReply       Kind = "cut replies off"
	CutRequest     Kind = "cut requests in half"
	CutOff         Kind = "refuse connections"
	SlowDown       Kind = "delay"
	StallStore     Kind = "stall" // no byte goes through, for longer than the deadlines
	FlushRedis     Kind = "FLUSHALL"
	LoseTail       Kind = "lose the tail of Redis' log"
	ReplaceRedis   Kind = "replace Redis by an empty one"
	RestoreRedis   Kind = "restore Redis from an old backup"
)

// Kinds is all of them.
var Kinds = []Kind{
	KillServer, StopServer, KillClickHouse, KillRedis, KillAll, FreezeServer, FreezeStore, CutReply, CutRequest, CutOff,
	SlowDown, StallStore, FlushRedis, LoseTail, ReplaceRedis, RestoreRedis,
}

// Fault is one step of a plan.
type Fault struct {
	Kind   Kind
	Server int           // whose process or connections
	Redis  bool          // of the stores: Redis, or ClickHouse
	For    time.Duration // how long it lasts, where it lasts
	Bytes  int64         // of the log that are lost
	Delay  time.Duration // of each piece
	Pause  time.Duration // of peace afterwards
}

func (f Fault) String() string {
	store := "ClickHouse"
	if f.Redis {
		store = "Redis"
	}
	switch f.Kind {
	case KillServer, StopServer:
		return fmt.Sprintf("%s (%d)", f.Kind, f.Server)
	case FreezeServer:
		return fmt.Sprintf("%s (%d) for %s", f.Kind, f.Server, f.For)
	case FreezeStore:
		return fmt.Sprintf("%s (%s) for %s", f.Kind, store, f.For)
	case CutReply, CutRequest, CutOff, StallStore:
		return fmt.Sprintf("%s (server %d, %s) for %s", f.Kind, f.Server, store, f.For)
	case SlowDown:
		return fmt.Sprintf("%s (server %d, %s) by %s for %s", f.Kind, f.Server, store, f.Delay, f.For)
	case LoseTail:
		return fmt.Sprintf("%s (%d bytes)", f.Kind, f.Bytes)
	}
	return string(f.Kind)
}

// Plan draws faults: the same seed, the same faults in the same order. Every
// kind comes once before any comes again.
type Plan struct {
	random  *rand.Rand
	kinds   []Kind
	left    []Kind
	servers int
	patient time.Duration // longer than the deadlines
}

// NewPlan is a plan of these kinds against so many servers; faults that are to
// outlast the deadlines last at least patient.
func NewPlan(seed uint64, kinds []Kind, servers int, patient time.Duration) *Plan {
	return &Plan{random: rand.New(rand.NewPCG(seed, 1)), kinds: kinds, servers: servers, patient: patient}
}

// Next draws the next fault.
func (p *Plan) Next() Fault {
	if len(p.left) == 0 {
		p.left = slices.Clone(p.kinds)
		p.random.Shuffle(len(p.left), func(i, j int) { p.left[i], p.left[j] = p.left[j], p.left[i] })
	}
	f := Fault{Kind: p.left[0], Server: p.random.IntN(p.servers), Redis: p.random.IntN(2) == 0}
	p.left = p.left[1:]
	f.For = p.between(50*time.Millisecond, 1500*time.Millisecond)
	if f.Kind == FreezeServer || f.Kind == FreezeStore || f.Kind == StallStore {
		f.For = p.between(p.patient, p.patient*3/2)
	}
	f.Bytes = int64(1) << p.random.IntN(16)
	f.Delay = p.between(time.Millisecond, 200*time.Millisecond)
	f.Pause = p.between(0, time.Second)
	if p.random.IntN(4) == 0 { // long enough to be trusted again
		f.Pause = p.between(2*time.Second, 6*time.Second)
	}
	return f
}

func (p *Plan) between(least, most time.Duration) time.Duration {
	return (least + time.Duration(p.random.Int64N(int64(most-least)))).Round(time.Millisecond)
}
