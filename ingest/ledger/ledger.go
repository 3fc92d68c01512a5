package ledger

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"leadevents"
)

//go:embed scripts/seal.lua
var sealScript string

//go:embed scripts/claim.lua
var claimScript string

// Ledger remembers in Redis which batch owns which key. See the package comment
// for the protocol; New starts its watch over both stores' health, Close ends it.
type Ledger struct {
	cfg     Config
	archive Archive

	data    *redis.Client // for keys; each connection has been checked against the trust record
	control *redis.Client // for health

	process string // a random name of this process
	trust   atomic.Pointer[Trust]
	suspect chan string // reasons for the watch to look at once
	met     metrics

	clock    clock
	watch    watch
	pulse    pulse
	progress progress

	life context.Context // ends at Close; what runs beyond a request runs under it
	stop context.CancelFunc
	done sync.WaitGroup
}

// View is what a peek saw of the ledger; the seal holds it to that.
type View struct {
	Trust *Trust
	// Now is Redis' clock after the last key was read. It stamps the rows
	// (ingested_at), and the seal must end within the deadline from it.
	Now leadevents.Millis
	// Claims are claims of others on keys that are sealed for who peeked: contests
	// that its earlier attempt may not have recorded.
	Claims []Claim
}

// Claim is the claim of a batch on a key, by its place among those that were peeked.
type Claim struct {
	Key   int
	Batch leadevents.BatchID
}

// Trusted says whether the ledger was trusted; what an absent key proves [Ledger.Absent] says.
func (v View) Trusted() bool { return v.Trust.State == Trusted }

// New connects lazily: it does not fail because Redis or ClickHouse is down.
// The archive is ClickHouse's side of the ledger's health.
func New(cfg Config, archive Archive) (*Ledger, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	l := &Ledger{cfg: cfg, archive: archive, process: leadevents.NewBatchID().String(), suspect: make(chan string, 1)}
	l.met = newMetrics(cfg.Metrics, l)
	quiet()
	options := redis.Options{
		Addr: cfg.Addr, Username: cfg.Username, Password: cfg.Password, DB: cfg.DB, TLSConfig: cfg.TLS, Dialer: cfg.Dial,
		Protocol:     2, // RESP3 adds push messages we do not use
		DialTimeout:  min(2*time.Second, cfg.Timeout),
		ReadTimeout:  cfg.Timeout,
		WriteTimeout: cfg.Timeout,
		PoolTimeout:  cfg.Timeout,
		PoolSize:     cfg.PoolSize,
		// go-redis ignores a context's deadline unless told.
		ContextTimeoutEnabled: true,
		// A lost reply resends the whole pipeline. That is safe here: every call
		// is idempotent by token. Our own deadline bounds the tries.
		MaxRetries:      2,
		MinRetryBackoff: 10 * time.Millisecond,
		MaxRetryBackoff: 200 * time.Millisecond,
		DialerRetries:   1,
		DisableIdentity: true,
		ReadBufferSize:  64 << 10,
		WriteBufferSize: 64 << 10,
	}
	options.Dialer = l.pulse.dialer(options)
	control := options
	control.PoolSize = 4
	l.pulse.options = control
	l.pulse.options.PoolSize, l.pulse.options.MaxRetries = 1, -1
	l.control = redis.NewClient(&control)
	options.OnConnect = l.checkConnection
	l.data = redis.NewClient(&options)

	l.life, l.stop = context.WithCancel(context.Background())
	l.done.Go(l.watchHealth)
	return l, nil
}

// quiet ends go-redis' own lines on standard error, which repeat what our errors
// say. Its logger is a global, so it is set once.
var quiet = sync.OnceFunc(func() { redis.SetLogger(noLog{}) })

type noLog struct{}

func (noLog) Printf(context.Context, string, ...any) {}

// Close stops the watch and closes the connections.
func (l *Ledger) Close() error {
	l.stop()
	l.done.Wait()
	return errors.Join(l.data.Close(), l.control.Close(), l.pulse.close())
}

// Deadline is D.
func (l *Ledger) Deadline() time.Duration { return l.cfg.Deadline }

// Absent says what an absent key proves in this view (step 3 of the protocol):
// true for "never sealed, so new", false for "ask ClickHouse". While the ledger is
// rebuilt it proves that of what has been set again.
func (l *Ledger) Absent(v View, occurredAt leadevents.Millis) bool {
	set := v.Trusted() || v.Trust.set != 0 && occurredAt >= v.Trust.set
	return set && v.Now < occurredAt.Add(l.cfg.Horizon-l.cfg.Margin)
}

// StoredMeansDuplicate says whether a row of another batch that ClickHouse has,
// and Redis does not, is a duplicate. If not, its batch stored it and has not
// sealed it: it died, or is about to; store again and let the seal decide.
func (l *Ledger) StoredMeansDuplicate(v View, ingestedAt leadevents.Millis) bool {
	return !v.Trusted() ||
		ingestedAt < v.Trust.Since ||
		ingestedAt < v.Now.Add(l.cfg.Margin-l.cfg.ShortHorizon)
}

// Orphan says whether the row on whose ground alone a key is called a duplicate
// may be one that neither a seal nor the rebuild has set a key for: it was stored
// behind the stream, and its request may have died. Whoever answers "duplicate"
// seals the key for the row's batch first (doc.go, "Orphans").
func (l *Ledger) Orphan(v View, occurredAt, ingestedAt leadevents.Millis) bool {
	// Of what was stored before the epoch began the stream missed nothing.
	late := ingestedAt >= v.Trust.At.Add(-l.cfg.Deadline-l.cfg.Margin)
	if v.Trusted() {
		return late && ingestedAt >= v.Now.Add(l.cfg.Margin-l.cfg.ShortHorizon)
	}
	// By the clock of an earlier epoch a late row may bear any stamp.
	return late || v.Now < occurredAt.Add(l.cfg.Horizon+l.cfg.Margin)
}

// Peek reads who owns each key: owners[i] is the batch that sealed keys[i], zero
// where none did. Where claims is not nil, a claim for batch claims[i] is left on
// every key without an owner (requests with an Idempotency-Key; see "Claims"); a
// key that too many have claimed in vain makes it an [ErrCrowded].
//
// All chunks must have seen one epoch, read after their keys on the same
// connection: so the keys were read from a Redis that remembers.
func (l *Ledger) Peek(ctx context.Context, keys []leadevents.Key, claims, owners []leadevents.BatchID) (View, error) {
	for try := 0; ; try++ {
		trust, err := l.current(ctx)
		if err != nil {
			return View{}, err
		}
		view := View{Trust: trust}
		view.Now, view.Claims, err = l.peek(ctx, trust, keys, claims, owners)
		if err == nil && l.archive.Generation() != trust.archive {
			// The archive may be another server than the one the trust was
			// examined with, perhaps one restored from a backup.
			err = errEpoch
		}
		if err == nil {
			return view, nil
		}
		if !errors.Is(err, errEpoch) || try == 20 {
			return View{}, l.unavailable(err)
		}
		if err := l.refresh(ctx, trust); err != nil {
			return View{}, err
		}
	}
}

// errEpoch says that the ledger is not the one that was peeked.
var errEpoch = errors.New("the ledger's epoch changed")

// errEvicted says that Redis has evicted keys since it was examined.
var errEvicted = fmt.Errorf("%w: keys were evicted", errEpoch)

// ErrCrowded says that a key bears the claims of 64 requests that never finished.
// It concerns the calls that hold the key, not others that were peeked with them.
var ErrCrowded = errors.New("a key has too many claims")

// errLate says that more than the deadline went by before the seal.
var errLate = errors.New("the deadline to seal has passed")

// errLeap says that Redis' clock has gone back behind the rows' stamp.
var errLeap = errors.New("the clock of Redis went back")

func (l *Ledger) peek(ctx context.Context, trust *Trust, keys []leadevents.Key, claims, owners []leadevents.BatchID) (leadevents.Millis, []Claim, error) {
	p := l.layout(trust).plan(keys, l.cfg.ChunkKeys)
	var (
		latest atomic.Int64
		mu     sync.Mutex
		lost   []Claim
	)
	before := time.Now()
	err := l.eachChunk(ctx, p, func(ctx context.Context, chunk []bucket) error {
		var (
			now int64
			err error
		)
		if claims == nil {
			now, err = l.readChunk(ctx, trust, p, chunk, owners)
		} else {
			var found []Claim
			now, found, err = l.claimChunk(ctx, trust, p, chunk, claims, owners)
			mu.Lock()
			lost = append(lost, found...)
			mu.Unlock()
		}
		for {
			was := latest.Load()
			if now <= was || latest.CompareAndSwap(was, now) {
				return err
			}
		}
	})
	l.observeClock(leadevents.Millis(latest.Load()), before)
	return leadevents.Millis(latest.Load()), lost, err
}

// eachChunk runs f over the plan's buckets, about ChunkKeys keys at a time, on
// several connections.
func (l *Ledger) eachChunk(ctx context.Context, plan *plan, f func(ctx context.Context, chunk []bucket) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(l.cfg.Connections)
	for from := 0; from < len(plan.buckets); {
		to, n := from, 0
		for to < len(plan.buckets) && (to == from || n+plan.buckets[to].end-plan.buckets[to].start <= l.cfg.ChunkKeys) {
			n += plan.buckets[to].end - plan.buckets[to].start
			to++
		}
		chunk := plan.buckets[from:to]
		group.Go(func() error { return f(ctx, chunk) })
		from = to
	}
	return group.Wait()
}

// readChunk is a plain pipeline: HMGET a bucket, and at the end, on the same
// connection, the epoch and the time. It needs no script: if the keys vanish
// after they were read, the epoch that is read last says so.
func (l *Ledger) readChunk(ctx context.Context, trust *Trust, plan *plan, chunk []bucket, owners []leadevents.BatchID) (int64, error) {
	pipe := l.data.Pipeline()
	for _, b := range chunk {
		args := make([]any, 2, 2+b.end-b.start)
		args[0], args[1] = "hmget", b.name
		for i := b.start; i < b.end; i++ {
			args = append(args, plan.field(i))
		}
		_ = pipe.Process(ctx, redis.NewSliceCmd(ctx, args...))
	}
	epoch := pipe.Get(ctx, l.epochKey())
	clock := pipe.Time(ctx)
	stats := pipe.Info(ctx, "stats") // 4 µs; a key may have been evicted, the epoch not
	commands, err := pipe.Exec(ctx)
	if err != nil && !errors.Is(err, redis.Nil) {
		return 0, fmt.Errorf("peek at %d keys: %w", chunk[len(chunk)-1].end-chunk[0].start, err)
	}
	// Exec returns only the first error, and nil replies are among them: each
	// command's own result counts.
	for n, b := range chunk {
		command := commands[n].(*redis.SliceCmd)
		values, err := command.Result()
		if err != nil {
			return 0, fmt.Errorf("peek at a bucket: %w", err)
		}
		if len(values) != b.end-b.start {
			return 0, fmt.Errorf("peek at a bucket: %d answers to %d keys", len(values), b.end-b.start)
		}
		for i, value := range values {
			at := plan.order[b.start+i]
			owners[at] = 0
			if text, ok := value.(string); ok {
				owners[at] = owner(text)
			}
		}
	}
	now, err := clock.Result()
	if err != nil {
		return 0, fmt.Errorf("read Redis' clock: %w", err)
	}
	if seen, err := epoch.Result(); err != nil && !errors.Is(err, redis.Nil) {
		return 0, fmt.Errorf("read the epoch: %w", err)
	} else if seen != trust.Epoch {
		return 0, errEpoch
	}
	if info, err := stats.Result(); err != nil {
		return 0, fmt.Errorf("ask Redis for evicted keys: %w", err)
	} else if evicted(info) != trust.Evicted {
		return 0, errEvicted
	}
	return now.UnixMilli(), nil
}

// claimChunk reads and claims in one script call. It returns the claims of others on
// what is the claimants' own already.
func (l *Ledger) claimChunk(ctx context.Context, trust *Trust, plan *plan, chunk []bucket, claims, owners []leadevents.BatchID) (now int64, lost []Claim, err error) {
	// A claim must outlive the row that may come behind it: whoever finds that
	// row younger than Tshort stores again, and its seal must meet the claim.
	life := (l.cfg.ShortHorizon + 2*l.cfg.Deadline + l.cfg.Margin).Milliseconds()
	one := plan.shared(chunk, claims)
	args := []any{trust.Epoch, life, one, trust.Evicted}
	keys := []string{l.epochKey()}
	for _, b := range chunk {
		keys = append(keys, b.name)
		args = append(args, b.end-b.start, int64(b.expiry))
		for i := b.start; i < b.end; i++ {
			owners[plan.order[i]] = 0
			args = append(args, plan.field(i))
		}
		if one == "" {
			for i := b.start; i < b.end; i++ {
				args = append(args, token(claims[plan.order[i]]))
			}
		}
	}
	answer, err := l.data.Eval(ctx, claimScript, keys, args...).Slice()
	if err != nil {
		return 0, nil, fmt.Errorf("claim keys: %w", err)
	}
	status, now, err := l.scriptStatus(answer)
	if err != nil {
		return 0, nil, err
	}
	if status == "CROWDED" {
		return 0, nil, leadevents.Wrap(leadevents.Unavailable, ErrCrowded, "an event has been sent by 64 requests that never finished; send the same request again")
	}
	err = eachPair(answer[3:], func(position int, value string) {
		at := plan.order[chunk[0].start+position]
		if owners[at] = owner(value); owners[at] != claims[at] {
			return
		}
		for _, loser := range claimants(value) {
			if loser != claims[at] {
				lost = append(lost, Claim{int(at), loser})
			}
		}
	})
	return now, lost, err
}

// Seal makes each key its batch's (tokens[i]) unless another batch sealed it
// before; owners[i] is the owner afterwards. It returns the contests that this
// uncovered: keys that we stored and another sealed, and claims that we
// overrode. They must be durable before the answer.
//
// Nothing is to be trusted where it fails: some chunks may have sealed, which
// the same tokens will find theirs when sealed again. keep is the shortest life
// of the keys; zero means Tshort.
func (l *Ledger) Seal(ctx context.Context, view View, keys []leadevents.Key, tokens []leadevents.BatchID, keep time.Duration, owners []leadevents.BatchID) ([]leadevents.Contest, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Deadline)
	defer cancel()
	plan := l.layout(view.Trust).plan(keys, l.cfg.ChunkKeys)
	terms := terms{
		epoch: view.Trust.Epoch, evicted: view.Trust.Evicted,
		earliest: view.Now.Add(-l.cfg.Margin), latest: view.Now.Add(l.cfg.Deadline),
		keep: max(keep, l.cfg.ShortHorizon),
	}
	var (
		mu       sync.Mutex
		contests []leadevents.Contest
	)
	seal := func(ctx context.Context, chunk []bucket) error {
		found, err := l.sealChunk(ctx, terms, keys, tokens, plan, chunk, owners)
		mu.Lock()
		contests = append(contests, found...)
		mu.Unlock()
		return err
	}
	if err := l.eachChunk(ctx, plan, seal); err != nil {
		if errors.Is(err, errEpoch) || errors.Is(err, errLeap) {
			l.kick(err.Error())
		}
		return nil, l.unavailable(err)
	}
	return contests, nil
}

// terms are what a seal holds Redis to.
type terms struct {
	epoch            string
	evicted          int64             // keys, as when it was examined
	earliest, latest leadevents.Millis // Redis' clock
	keep             time.Duration     // the keys' shortest life
}

func (l *Ledger) sealChunk(ctx context.Context, on terms, keys []leadevents.Key, tokens []leadevents.BatchID, plan *plan, chunk []bucket, owners []leadevents.BatchID) ([]leadevents.Contest, error) {
	one := plan.shared(chunk, tokens)
	args := []any{on.epoch, int64(on.earliest), int64(on.latest), on.keep.Milliseconds(), on.evicted, one}
	names := []string{l.epochKey(), l.beatKey()}
	for _, b := range chunk {
		names = append(names, b.name)
		args = append(args, b.end-b.start, int64(b.expiry))
		for i := b.start; i < b.end; i++ {
			owners[plan.order[i]] = tokens[plan.order[i]]
			args = append(args, plan.field(i))
		}
		if one == "" {
			for i := b.start; i < b.end; i++ {
				args = append(args, token(tokens[plan.order[i]]))
			}
		}
	}
	answer, err := l.data.Eval(ctx, sealScript, names, args...).Slice()
	if err != nil {
		return nil, fmt.Errorf("seal keys: %w", err)
	}
	if _, _, err := l.scriptStatus(answer); err != nil {
		return nil, err
	}
	var contests []leadevents.Contest
	err = eachPair(answer[2:], func(position int, value string) {
		at := plan.order[chunk[0].start+position]
		if winner := owner(value); winner != 0 {
			owners[at] = winner
			contests = append(contests, leadevents.Contest{Key: keys[at], Winner: winner, Loser: tokens[at]})
			return
		}
		for _, loser := range claimants(value) {
			contests = append(contests, leadevents.Contest{Key: keys[at], Winner: tokens[at], Loser: loser})
		}
	})
	return contests, err
}

// scriptStatus reads the first two parts of every script's answer.
func (l *Ledger) scriptStatus(answer []any) (status string, now int64, err error) {
	if len(answer) < 2 {
		return "", 0, fmt.Errorf("a ledger script answered %d parts", len(answer))
	}
	status, _ = answer[0].(string)
	now, _ = answer[1].(int64)
	switch status {
	case "OK", "CROWDED":
		return status, now, nil
	case "EPOCH":
		return status, now, errEpoch
	case "LATE":
		return status, now, errLate
	case "LEAP":
		return status, now, errLeap
	case "EVICTED":
		return status, now, errEvicted
	}
	return "", 0, fmt.Errorf("a ledger script answered %q", status)
}

// eachPair walks [position, value]... with positions from 0.
func eachPair(pairs []any, f func(position int, value string)) error {
	for ; len(pairs) >= 2; pairs = pairs[2:] {
		position, ok := pairs[0].(int64)
		value, isText := pairs[1].(string)
		if !ok || !isText {
			return fmt.Errorf("a ledger script answered the pair %T, %T", pairs[0], pairs[1])
		}
		f(int(position)-1, value)
	}
	return nil
}
