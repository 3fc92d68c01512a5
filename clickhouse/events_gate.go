package clickhouse

import (
	"cmp"
	"context"
	"time"

	"leadevents"
)

// EventsConfig bounds the questions about events of one server process.
type EventsConfig struct {
	// AtOnce is how many are answered at once, each with a connection of its own;
	// default 8. Others wait for them.
	AtOnce int
	// Timeout bounds one of them, exports excepted; default 30 s.
	Timeout time.Duration
}

func (c EventsConfig) withDefaults() EventsConfig {
	return EventsConfig{AtOnce: cmp.Or(c.AtOnce, 8), Timeout: cmp.Or(c.Timeout, 30*time.Second)}
}

// question answers a question about events within its time, when it is its turn.
func (db *DB) question(ctx context.Context, answer func(ctx context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, db.events.Timeout)
	defer cancel()
	leave, err := db.questions.enter(limited)
	if err != nil {
		return err
	}
	defer leave()
	err = answer(limited)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return leadevents.Wrap(leadevents.Unavailable, err, "the question was not answered within %s (events.timeout); ask for less: a shorter time from - to, or one event type", db.events.Timeout)
	}
	return err
}
