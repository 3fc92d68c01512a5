package backfill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"leadevents"
)

// Server is one address of the service. It adds the credential, and gives the answer if it is
// a success. What the server refused is a *leadevents.Error of its kind, a *HopelessError is what
// no repetition mends, and any other error is of the connection: whether the request arrived is not known.
type Server interface {
	Send(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error)
}

// HopelessError is a failure that sending again does not mend: a certificate that is not trusted,
// an address where something else answers.
type HopelessError struct{ Err error }

// Error is the cause's.
func (e *HopelessError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *HopelessError) Unwrap() error { return e.Err }

const (
	eventsPath = "/api/v1/webhooks/lead-events"
	jsonType   = "application/json"
	// answerLimit bounds an answer with counts and 50 rejects.
	answerLimit = 1 << 20
	// attemptTimeout bounds one attempt: the server gives up at 30 s, and its answer may be a while
	// in queues and proxies.
	attemptTimeout = 2 * time.Minute
	tellEvery      = 30 * time.Second
)

// answer is what a call was told.
type answer struct {
	Received, Inserted, Duplicates, Rejected uint64
	Rejects                                  []refusal // the first 50
	BatchID                                  string
}

// ErrStopped is the end of a run that was asked to stop.
var ErrStopped = errors.New("stopped before the end")

// caller makes calls until they are answered.
type caller struct {
	servers  []Server
	run      string
	encoder  *zstd.Encoder // nil: plain
	pace     *pace
	patience time.Duration // 0: for ever
	timing   timing
	say      func(format string, args ...any)

	mu   sync.Mutex
	told map[string]time.Time // what was said lately, and when
}

// post sends a batch until it is answered. The bytes are the same each time, which the
// Idempotency-Key asks for.
func (c *caller) post(stop context.Context, number int, b *batch) (answer, error) {
	header := http.Header{"Content-Type": {jsonType}, "Idempotency-Key": {b.key}, leadevents.RunHeader: {c.run}}
	body := b.body
	if c.encoder != nil {
		b.packed = c.pack(header, b.body, b.packed)
		body = b.packed
	}
	var a answer
	err := c.insist(stop, number, func(ctx context.Context, server Server) error {
		begun := time.Now()
		err := c.ask(ctx, server, eventsPath, header, body, &a)
		if err == nil {
			c.pace.answered(time.Since(begun))
		}
		return err
	})
	if err == nil && a.Received != uint64(len(b.rows)) {
		err = fmt.Errorf("the server answers that it received %d rows of %d that were sent as %s", a.Received, len(b.rows), b.key)
	}
	return a, err
}

// try is a dry run of a body.
func (c *caller) try(stop context.Context, number int, body []byte) (answer, error) {
	var a answer
	header := http.Header{"Content-Type": {jsonType}}
	if c.encoder != nil {
		body = c.pack(header, body, nil)
	}
	err := c.insist(stop, number, func(ctx context.Context, server Server) error {
		return c.ask(ctx, server, eventsPath+"?dryRun=true", header, body, &a)
	})
	return a, err
}

func (c *caller) pack(header http.Header, body, into []byte) []byte {
	header.Set("Content-Encoding", "zstd")
	return c.encoder.EncodeAll(body, into[:0])
}

func (c *caller) ask(ctx context.Context, server Server, path string, header http.Header, body []byte, a *answer) error {
	response, err := server.Send(ctx, http.MethodPost, path, header, body)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	*a = answer{}
	if err := json.NewDecoder(io.LimitReader(response.Body, answerLimit)).Decode(a); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// insist asks one server after the other until one answers: at once where another is left to
// try, else after a pause. It gives up after the patience, and at stop.
func (c *caller) insist(stop context.Context, number int, ask func(context.Context, Server) error) error {
	var since time.Time
	pause := c.timing.pause
	for attempt := 0; ; attempt++ {
		if stop.Err() != nil {
			return ErrStopped
		}
		// What is on its way when the run is stopped is waited for.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(stop), attemptTimeout)
		begun := time.Now()
		err := ask(ctx, c.servers[(number+attempt)%len(c.servers)])
		cancel()
		if err == nil {
			return nil
		}
		wait, again := c.again(err)
		if !again {
			return err
		}
		if since.IsZero() {
			since = begun
		}
		c.tell(err)
		if c.patience > 0 && time.Since(since) > c.patience {
			return fmt.Errorf("no answer for %s, the last reason: %w", c.patience, err)
		}
		if (attempt+1)%len(c.servers) != 0 {
			continue
		}
		wait = max(wait, pause)
		pause = min(2*pause, c.timing.longest)
		timer := time.NewTimer(wait)
		select {
		case <-stop.Done():
			timer.Stop()
			return ErrStopped
		case <-timer.C:
		}
	}
}

// again says whether a request may be answered when it is sent again, and how long the server
// asks to wait before.
func (c *caller) again(err error) (wait time.Duration, yes bool) {
	if _, hopeless := errors.AsType[*HopelessError](err); hopeless {
		return 0, false
	}
	refused, ok := errors.AsType[*leadevents.Error](err)
	if !ok {
		return 0, true
	}
	switch refused.Kind {
	case leadevents.RateLimited:
		c.pace.refused(max(refused.RetryAfter, c.timing.pause))
		return refused.RetryAfter, true
	case leadevents.Unavailable, leadevents.Internal:
		c.pace.refused(0)
		return refused.RetryAfter, true
	default:
		return 0, false
	}
}

// tell says to people why nothing goes on: each reason once in a while. A server that is back after it
// was killed has another one than before, that it holds the keys of its calls for a time.
func (c *caller) tell(err error) {
	reason := "the connection" // whose errors name another port each time
	if refused, ok := errors.AsType[*leadevents.Error](err); ok {
		reason = refused.Message
	}
	c.mu.Lock()
	maps.DeleteFunc(c.told, func(_ string, at time.Time) bool { return time.Since(at) >= tellEvery })
	_, quiet := c.told[reason]
	if !quiet {
		if c.told == nil {
			c.told = map[string]time.Time{}
		}
		c.told[reason] = time.Now()
	}
	c.mu.Unlock()
	if quiet {
		return
	}
	long := "until there is an answer"
	if c.patience > 0 {
		long = "for " + c.patience.String()
	}
	c.say("A call was not answered: %v. It is sent again %s (--patience).", err, long)
}
