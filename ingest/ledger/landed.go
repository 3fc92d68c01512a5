package ledger

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"leadevents"
)

// Landed is an answer that was given: its receipt was durable in ClickHouse
// before. Each process keeps its latest in Redis, and a ClickHouse that does not
// know one of them has gone back in time. Heartbeats alone would leave a gap:
// what was answered between the last beat and the snapshot's restore.
type Landed struct {
	Org   leadevents.OrgID
	Batch leadevents.BatchID
	At    leadevents.Millis // Redis' clock

	field, text string // as it stands in Redis
}

// landedLife is how long the last answer of a process that is gone is kept. An
// older snapshot than that is found by the heartbeats.
const landedLife = 24 * time.Hour

// noteLanded keeps this process' latest answer: one round trip of about 0.1 ms a
// group. Groups that end at once may overwrite each other in either order, which
// leaves one of them: both were durable.
func (l *Ledger) noteLanded(ctx context.Context, a Landed) error {
	text := strconv.FormatInt(int64(a.At), 10) + ":" + a.Org.String() + ":" + a.Batch.String()
	if err := l.data.HSet(ctx, l.landedKey(), l.process, text).Err(); err != nil {
		return fmt.Errorf("note that batch %s is stored: %w", a.Batch, err)
	}
	return nil
}

// examineLanded asks a ClickHouse that may be another than before for the
// receipts of the answers that were given, and forgets those of the day before.
func (l *Ledger) examineLanded(ctx context.Context, o *observation, noted map[string]string) error {
	if t := l.trust.Load(); t != nil && t.archive == o.generation {
		return nil
	}
	var answers, old []Landed
	for field, text := range noted {
		a, err := parseLanded(field, text)
		if err != nil || a.At < o.now.Add(-landedLife) {
			old = append(old, a)
			continue
		}
		answers = append(answers, a)
	}
	if err := l.forgetLanded(ctx, old); err != nil || len(answers) == 0 {
		return err
	}
	var err error
	o.lacking, err = l.archive.LackReceipts(ctx, answers)
	return err
}

func parseLanded(field, text string) (Landed, error) {
	a := Landed{field: field, text: text}
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return a, fmt.Errorf("%q is not time:organization:batch", text)
	}
	at, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return a, fmt.Errorf("read the time of %q: %w", text, err)
	}
	org, err := strconv.ParseUint(parts[1], 10, 64)
	if err != nil {
		return a, fmt.Errorf("read the organization of %q: %w", text, err)
	}
	batch, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil {
		return a, fmt.Errorf("read the batch of %q: %w", text, err)
	}
	a.At, a.Org, a.Batch = leadevents.Millis(at), leadevents.OrgID(org), leadevents.BatchID(batch)
	return a, nil
}

// forgetLanded removes notes unless they have changed meanwhile.
func (l *Ledger) forgetLanded(ctx context.Context, notes []Landed) error {
	for _, a := range notes {
		const script = `if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end return 0`
		if err := l.control.Eval(ctx, script, []string{l.landedKey()}, a.field, a.text).Err(); err != nil {
			return fmt.Errorf("forget answers that ClickHouse has lost: %w", err)
		}
	}
	return nil
}
