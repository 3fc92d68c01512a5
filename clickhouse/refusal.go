package clickhouse

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"leadevents"
)

// The server's error codes that say why it does not do its work although it
// lives (ClickHouse's ErrorCodes.cpp).
const (
	codeTableExists         = 57
	codeUnknownTable        = 60
	codeUnknownDatabase     = 81
	codeTooManyQueries      = 202
	codeUnknownUser         = 192
	codeReadOnly            = 242
	codeMemoryLimit         = 241
	codeNotEnoughSpace      = 243
	codeTooManyParts        = 252
	codeAccessDenied        = 497
	codeAuthenticationFails = 516

	// A server that stops ends its queries with these.
	codeAborted   = 236
	codeCancelled = 394
)

// refusals: what the client is told, and when it should come again. Short waits
// where others' work has to end, long ones where a person has to do something.
var refusals = map[int32]struct {
	message string
	after   time.Duration
}{
	codeNotEnoughSpace:      {diskFull, 10 * time.Second},
	codeTooManyParts:        {"the event store (ClickHouse) has too many parts that wait to be merged", 5 * time.Second},
	codeMemoryLimit:         {"the event store (ClickHouse) has reached its memory limit", 2 * time.Second},
	codeTooManyQueries:      {"the event store (ClickHouse) is busy with too many queries", 2 * time.Second},
	codeReadOnly:            {"the event store's table (ClickHouse) is read-only", 5 * time.Second},
	codeUnknownTable:        {"the event store (ClickHouse) lacks a table; `leadevents migrate` makes it", 10 * time.Second},
	codeUnknownDatabase:     {"the event store (ClickHouse) lacks the database; `leadevents migrate` makes it", 10 * time.Second},
	codeUnknownUser:         {credentialsRefused, 10 * time.Second},
	codeAuthenticationFails: {credentialsRefused, 10 * time.Second},
	codeAccessDenied:        {credentialsRefused, 10 * time.Second},
}

const (
	diskFull           = "the disk of the event store (ClickHouse) is full"
	credentialsRefused = "the event store (ClickHouse) refuses the server's user, its password or its rights"
)

// refusal is the error to answer with if the server itself says why it does not
// do its work; nil otherwise. Its exception ends a query, so nothing of it is
// under way any more.
func refusal(err error) error {
	exception, ok := errors.AsType[*clickhouse.Exception](err)
	if !ok {
		return nil
	}
	known, ok := refusals[exception.Code]
	if !ok && strings.Contains(exception.Message, "No space left on device") {
		// The write itself failed: the code is that of whoever wrote.
		known, ok = refusals[codeNotEnoughSpace], true
	}
	if !ok {
		return nil
	}
	e := leadevents.Wrap(leadevents.Unavailable, err, "%s; send the same request again later", known.message)
	e.RetryAfter = known.after
	return e
}

// Unanswered tells whether a query failed without the server having said why, or
// because it stops.
func Unanswered(err error) bool {
	exception, answered := errors.AsType[*clickhouse.Exception](err)
	return !answered || exception.Code == codeAborted || exception.Code == codeCancelled
}

// refusedOr is the refusal in err, or err itself.
func refusedOr(err error) error {
	if refused := refusal(err); refused != nil {
		return refused
	}
	return err
}

// Probe asks the server for a sign of life, over a connection of its own. alive
// says that it answered; err is then what keeps it from working, if anything.
func (db *DB) Probe(ctx context.Context) (alive bool, err error) {
	err = db.pulse.Ping(ctx)
	if _, answered := errors.AsType[*clickhouse.Exception](err); answered {
		return true, refusal(err)
	}
	return err == nil, err
}

// Heard grows with everything that the server says on any connection without
// TLS: a server that is late with a probe, but sends the progress of an insert,
// is busy, not dead.
func (db *DB) Heard() uint64 { return db.heard.Load() }
