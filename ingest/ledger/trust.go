package ledger

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"leadevents"
)

//go:embed scripts/declare.lua
var declareScript string

//go:embed scripts/beat.lua
var beatScript string

// State is how far the ledger is believed.
type State string

// The states; doc.go has the picture.
const (
	Trusted    State = "trusted"    // an absent key within the horizon proves "never sealed"
	Suspect    State = "suspect"    // every absent key is looked up in ClickHouse
	Rebuilding State = "rebuilding" // as suspect, but for what is set again from ClickHouse
)

// Trust is the record of why Redis may be believed. It is kept in both stores;
// anything unequal makes the ledger suspect, under a new epoch.
type Trust struct {
	Number uint64            `json:"number"` // grows by one with every record
	Epoch  string            `json:"epoch"`  // read at the end of every chunk, and checked by every seal
	Era    string            `json:"era"`    // part of every key's name: keys of another era do not exist
	State  State             `json:"state"`
	Reason string            `json:"reason,omitempty"` // why it became suspect
	At     leadevents.Millis `json:"at"`               // when this epoch began, Redis' clock
	Since  leadevents.Millis `json:"since"`            // trusted since, Redis' clock; rows ingested before it have their keys

	RunID       string `json:"runId"`
	Replication string `json:"replicationId"`
	Evicted     int64  `json:"evictedKeys"`
	HorizonMs   int64  `json:"horizonMs"`
	SlotWidth   uint   `json:"slotWidth"`
	SlotBits    uint   `json:"slotBits"`
	// Old is the end of what has the wide slots of history, the same as long as the era
	// lasts. Zero in records that are older than such slots: then nothing has.
	Old   leadevents.Millis `json:"old,omitempty"`
	Table string            `json:"table"` // UUID of lead_events
	// Doubted says that ClickHouse is not known to be the one, and as it was, that was
	// at work a moment before the epoch began: there a receipt does not prove that its
	// rows have their states (tables of a backup may be of different moments).
	Doubted bool `json:"doubted,omitempty"`
	// Beat is the latest heartbeat known when the epoch began. Redis' clock may
	// stay behind it for a while where it has gone back, and that is known then.
	Beat leadevents.Millis `json:"beat"`

	// What is of this process only:
	set     leadevents.Millis // the keys of all that occurred then or later are set again; zero while none are
	archive uint64            // the archive's generation it was examined with
	raw     string            // as it stands in Redis; what compare-and-set compares
}

// ArchiveState is what ClickHouse knows of the ledger.
type ArchiveState struct {
	Table   string // UUID of lead_events
	Empty   bool   // lead_events has no rows
	Number  uint64 // of the newest trust record, zero without one
	Record  string // that record as JSON
	Beat    leadevents.Millis
	Now     leadevents.Millis // ClickHouse's clock
	Started leadevents.Millis // when the server started, to the second
	Server  uint64            // names this start of the server, zero before NameServer
}

// Archive is ClickHouse's side of the ledger's health, and the truth from which
// the ledger is rebuilt.
type Archive interface {
	// Generation changes whenever the server behind it may have.
	Generation() uint64
	Examine(ctx context.Context) (ArchiveState, error)
	// NameServer gives this start of the server a name, which dies with it.
	NameServer(ctx context.Context) error
	SaveTrust(ctx context.Context, number uint64, record string) error
	SaveBeat(ctx context.Context, beat leadevents.Millis) error
	// StreamKeys reads the keys of a stretch in pieces; f must not keep them.
	StreamKeys(ctx context.Context, s Stretch, f func([]leadevents.Key, []leadevents.BatchID) error) error
	// LatestStamp is the latest ingested_at of all rows that bear one of since or
	// later; zero without any.
	LatestStamp(ctx context.Context, since leadevents.Millis) (leadevents.Millis, error)
	// StreamContests reads the contests of keys with from ≤ occurred_at < to.
	StreamContests(ctx context.Context, from, to leadevents.Millis, f func([]leadevents.Contest) error) error
	// LackReceipts returns those of the answers whose receipts it does not have.
	LackReceipts(ctx context.Context, answers []Landed) ([]Landed, error)
	// RepairStates adds the states of the rows of a stretch, which an insert that
	// broke off between a row and its view may have left out; where receipted is
	// false, not of those whose batch has a receipt, and so ended well.
	RepairStates(ctx context.Context, s Stretch, receipted bool) error
}

// Stretch is the rows of all organizations with From ≤ occurred_at < To and
// IngestedSince ≤ ingested_at < IngestedUntil.
type Stretch struct{ From, To, IngestedSince, IngestedUntil leadevents.Millis }

// EveryMoment is behind all that occurs or is stamped.
const EveryMoment = leadevents.MaxOccurredAt + 1

// observation is one look at both stores.
type observation struct {
	trust      *Trust // Redis' record, nil without one
	epoch      string
	runID      string
	repl       string
	evicted    int64
	policy     string
	maxMemory  int64
	now        leadevents.Millis
	before     time.Time // now was read between these
	after      time.Time
	leap       time.Duration // how far Redis' clock is from where it should be
	beat       leadevents.Millis
	archived   leadevents.Millis
	archive    ArchiveState
	generation uint64
	lacking    []Landed // answers that ClickHouse has lost
}

// observe reads both stores over the control connection.
func (l *Ledger) observe(ctx context.Context) (*observation, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	o := &observation{}
	o.before = time.Now()
	pipe := l.control.Pipeline()
	record := pipe.Get(ctx, l.trustKey())
	epoch := pipe.Get(ctx, l.epochKey())
	beat := pipe.Get(ctx, l.beatKey())
	landed := pipe.HGetAll(ctx, l.landedKey())
	noted := pipe.HGetAll(ctx, l.rebuildKey())
	archived := pipe.Get(ctx, l.archivedKey())
	clock := pipe.Time(ctx)
	info := pipe.Info(ctx)
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("look at Redis: %w", err)
	}
	o.after = time.Now()
	for _, c := range []redis.Cmder{record, epoch, beat, landed, noted, archived, clock, info} {
		if err := c.Err(); err != nil && !errors.Is(err, redis.Nil) {
			return nil, fmt.Errorf("look at Redis: %w", err)
		}
	}
	o.epoch = epoch.Val()
	if text := record.Val(); text != "" {
		o.trust = &Trust{raw: text}
		if err := json.Unmarshal([]byte(text), o.trust); err != nil {
			o.trust = &Trust{raw: text} // unreadable is as good as gone
		}
		o.trust.set, _ = setSince(noted.Val(), o.trust.Epoch)
	}
	o.beat, o.archived = millis(beat.Val()), millis(archived.Val())
	o.now = leadevents.MillisOf(clock.Val())
	o.leap = l.clock.leap(o.now, o.before, o.after)
	facts := parseInfo(info.Val())
	o.runID, o.repl, o.policy = facts["run_id"], facts["master_replid"], facts["maxmemory_policy"]
	o.evicted = evicted(info.Val())
	o.maxMemory, _ = strconv.ParseInt(facts["maxmemory"], 10, 64)
	if facts["loading"] == "1" {
		return nil, errors.New("look at Redis: it is still loading its data")
	}
	var err error
	// A generation read before the query: a connection made meanwhile shows.
	o.generation = l.archive.Generation()
	if o.archive, err = l.archive.Examine(ctx); err != nil {
		return nil, fmt.Errorf("look at ClickHouse: %w", err)
	}
	if err := l.examineLanded(ctx, o, landed.Val()); err != nil {
		return nil, fmt.Errorf("look at ClickHouse: %w", err)
	}
	return o, nil
}

// diagnosis says why the ledger cannot be believed; an empty reason means it can.
type diagnosis struct {
	reason string
	// newEra: keys that are present are not to be believed either, since
	// ClickHouse or an undo may not know them any more, or they lie elsewhere.
	newEra bool
	// archive: it is ClickHouse that is another one, or has gone back.
	archive bool
	// first: nothing has ever been stored, so an empty ledger is the right one.
	first bool
}

// backupGap is how far Redis may lag behind the beat that the archive saw and
// still have lost no more than the tail of its AOF (everysec: about a second or
// two). More means that an old backup was restored.
const backupGap = 10 * time.Second

// diagnose compares the stores with each other and with the settings. The order
// matters only for the reason given: the most telling first.
func (l *Ledger) diagnose(o *observation) diagnosis {
	t := o.trust
	switch {
	case t == nil || t.Epoch == "" || o.epoch == "":
		if o.archive.Number == 0 && o.archive.Empty {
			return diagnosis{reason: "first start", first: true, newEra: true}
		}
		return diagnosis{reason: "Redis is empty: its trust record is gone (flushed, replaced, or never used with this ClickHouse)", newEra: true}
	case t.Epoch != o.epoch:
		return diagnosis{reason: "Redis' epoch and trust record differ", newEra: true}
	case t.Table != o.archive.Table:
		return diagnosis{reason: "lead_events is another table than the ledger was built from", newEra: true, archive: true}
	case o.archive.Beat < o.archived:
		return diagnosis{reason: fmt.Sprintf("ClickHouse has gone back in time: its heartbeat is of %s, Redis has seen %s", o.archive.Beat, o.archived), newEra: true, archive: true}
	case len(o.lacking) > 0:
		return diagnosis{reason: fmt.Sprintf("ClickHouse has gone back in time: it does not know batch %s, which was answered at %s", o.lacking[0].Batch, o.lacking[0].At), newEra: true, archive: true}
	case t.Number < o.archive.Number:
		return diagnosis{reason: fmt.Sprintf("Redis has gone back in time: its trust record is number %d, ClickHouse's %d", t.Number, o.archive.Number), newEra: true}
	case o.beat.Add(backupGap) < o.archive.Beat:
		return diagnosis{reason: fmt.Sprintf("Redis has gone back in time: its heartbeat is of %s, ClickHouse has seen %s", o.beat, o.archive.Beat), newEra: true}
	case t.HorizonMs != l.cfg.Horizon.Milliseconds():
		return diagnosis{reason: fmt.Sprintf("ledger.horizon was %s and is %s", time.Duration(t.HorizonMs)*time.Millisecond, l.cfg.Horizon), newEra: true}
	case t.SlotWidth != l.cfg.SlotWidth || t.SlotBits != l.cfg.SlotBits:
		return diagnosis{reason: "the layout of the ledger's keys has changed", newEra: true}
	case t.RunID != o.runID:
		return diagnosis{reason: "Redis was restarted: the tail of its log may be lost"}
	case t.Replication != o.repl:
		return diagnosis{reason: "Redis failed over or was made a replica: acknowledged keys may be lost"}
	case t.Evicted != o.evicted: // less: somebody reset the count
		return diagnosis{reason: fmt.Sprintf("Redis' count of evicted keys was %d and is %d; its maxmemory-policy is %s and must be noeviction", t.Evicted, o.evicted, o.policy)}
	case o.leap.Abs() > l.cfg.Margin:
		return diagnosis{reason: fmt.Sprintf("Redis' clock leapt by %s: keys may have expired too early", o.leap.Round(time.Millisecond))}
	case o.now.Add(l.cfg.Margin) < o.beat && o.beat > t.Beat:
		// Nobody of us was there to see it leap.
		return diagnosis{reason: fmt.Sprintf("Redis' clock is %s behind its own heartbeat: keys may have expired too early", time.Duration(o.beat-o.now)*time.Millisecond)}
	case o.archive.Record == "" || o.archive.Number < t.Number:
		// Redis was written and the archive not (a crash between the two):
		// nothing was lost, the archive is told again.
		return diagnosis{}
	default:
		var archived Trust
		if json.Unmarshal([]byte(o.archive.Record), &archived) != nil || archived.Epoch != t.Epoch {
			return diagnosis{reason: "ClickHouse and Redis name different epochs", newEra: true, archive: true}
		}
		return diagnosis{}
	}
}

// declare writes a new trust record: suspect, or trusted at the very first
// start. It reports whether this process was the one to write it.
func (l *Ledger) declare(ctx context.Context, o *observation, d diagnosis) (bool, error) {
	number := o.archive.Number
	if o.trust != nil {
		number = max(number, o.trust.Number)
	}
	number++
	t := &Trust{
		Number: number, Epoch: leadevents.NewBatchID().String(), Era: strconv.FormatUint(number, 36),
		State: Suspect, Reason: d.reason, At: o.now,
		RunID: o.runID, Replication: o.repl, Evicted: o.evicted,
		HorizonMs: l.cfg.Horizon.Milliseconds(), SlotWidth: l.cfg.SlotWidth, SlotBits: l.cfg.SlotBits,
		Table: o.archive.Table, Beat: max(o.now, o.beat, o.archive.Beat), Doubted: d.archive || l.doubts(o),
	}
	if d.newEra {
		t.Old = max(o.now.Add(-l.cfg.Horizon), 0)
	} else {
		t.Era, t.Old = o.trust.Era, o.trust.Old
	}
	if d.first {
		t.State, t.Reason, t.Since = Trusted, "", o.now
	}
	examined := ""
	if o.trust != nil {
		examined = o.trust.raw
	}
	written, err := l.writeTrust(ctx, o.epoch, examined, t, t.Beat, o.archive.Beat)
	if err != nil || !written {
		return false, err
	}
	if err := l.forgetLanded(ctx, o.lacking); err != nil {
		return false, err
	}
	if d.first {
		l.cfg.Logger.Info("ledger begun", "epoch", t.Epoch)
	} else {
		l.met.suspicions.Inc()
		l.cfg.Logger.Warn("ledger suspect", "reason", d.reason, "epoch", t.Epoch, "newEra", d.newEra)
	}
	return true, nil
}

// doubts says whether a look leaves open what became of ClickHouse. What has run since
// before its last heartbeat, and that of a moment ago, has lost nothing; a rebuild
// that had doubts and did not end leaves them to the next.
func (l *Ledger) doubts(o *observation) bool {
	started := o.archive.Started.Add(time.Second) + o.now - o.archive.Now // to the second, by Redis' clock
	if o.archive.Beat < started || o.archive.Beat < o.now.Add(-20*l.cfg.HeartbeatEvery) {
		return true
	}
	var archived Trust
	if o.archive.Record != "" && json.Unmarshal([]byte(o.archive.Record), &archived) != nil {
		return true
	}
	unfinished := func(t *Trust) bool { return t != nil && t.Doubted && t.State != Trusted }
	return unfinished(o.trust) || unfinished(&archived)
}

// writeTrust writes Redis first, where one of several processes wins, then the
// archive. A crash between the two leaves them unequal, which the next look mends.
func (l *Ledger) writeTrust(ctx context.Context, epoch, examined string, t *Trust, beat, archived leadevents.Millis) (bool, error) {
	record, err := json.Marshal(t)
	if err != nil {
		return false, fmt.Errorf("write the trust record: %w", err)
	}
	keys := []string{l.epochKey(), l.trustKey(), l.beatKey(), l.archivedKey()}
	written, err := l.control.Eval(ctx, declareScript, keys, epoch, examined, t.Epoch, string(record), int64(beat), int64(archived)).Int()
	if err != nil {
		return false, fmt.Errorf("write the trust record to Redis: %w", err)
	}
	if written == 0 {
		return false, nil
	}
	t.raw = string(record)
	if err := l.archive.SaveTrust(ctx, t.Number, string(record)); err != nil {
		return false, fmt.Errorf("write the trust record to ClickHouse: %w", err)
	}
	return true, nil
}

// checkConnection runs on every new connection for keys: a Redis that was
// restarted, replaced or failed over can only be reached over a new one, so no
// key is ever read from or sealed in a Redis that the trust record does not name.
func (l *Ledger) checkConnection(ctx context.Context, conn *redis.Conn) error {
	t := l.trust.Load()
	if t == nil {
		return errors.New("the ledger has not been examined yet")
	}
	info, err := conn.Info(ctx, "server").Result()
	if err != nil {
		return fmt.Errorf("ask Redis who it is: %w", err)
	}
	if id := parseInfo(info)["run_id"]; id != l.trust.Load().RunID {
		l.kick("another Redis answered")
		return errEpoch
	}
	return nil
}

func parseInfo(info string) map[string]string {
	facts := make(map[string]string, 64)
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			facts[name] = value
		}
	}
	return facts
}

// evicted reads the count of evicted keys of INFO stats; -1 without one, which no
// record has.
func evicted(info string) int64 {
	_, rest, found := strings.Cut(info, "\nevicted_keys:")
	text, _, _ := strings.Cut(rest, "\r")
	n, err := strconv.ParseInt(text, 10, 64)
	if !found || err != nil {
		return -1
	}
	return n
}

func millis(text string) leadevents.Millis {
	n, _ := strconv.ParseInt(text, 10, 64)
	return leadevents.Millis(n)
}
