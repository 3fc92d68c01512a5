package query

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"leadevents"
	"leadevents/audit"
	"leadevents/query/audience"
)

// EventStore keeps events (ClickHouse). Its errors are *leadevents.Error or bugs. Of rows
// that one key has it shows the one that stays.
type EventStore interface {
	// What leaves by an export is in the audit log before.
	audit.Store

	// EventTypes summarizes every type, in the order of their names.
	EventTypes(ctx context.Context, org leadevents.OrgID) ([]leadevents.TypeSummary, error)
	// Events reads events newest first, from behind a position on, at most limit. There
	// may be fewer, even none, where next says where to go on.
	Events(ctx context.Context, org leadevents.OrgID, q audience.EventQuery, after *leadevents.EventPosition, limit int) (page []leadevents.StoredEvent, next *leadevents.EventPosition, err error)
	// EachEvent hands on all of them, newest first, in pieces that f must not keep.
	EachEvent(ctx context.Context, org leadevents.OrgID, q audience.EventQuery, f func(events []leadevents.StoredEvent) error) error
}

// Limits of the list.
const (
	MaxEventsPage     = 10_000
	DefaultEventsPage = 100
)

// EventsConfig bounds the exports of one server process.
type EventsConfig struct {
	Streams int // exports at once; beyond it: 503
	Logger  *slog.Logger
}

// Events shows what an organization has stored.
type Events struct {
	cfg     EventsConfig
	store   EventStore
	audit   *audit.Log
	streams *semaphore.Weighted
}

// NewEvents makes it.
func NewEvents(cfg EventsConfig, store EventStore) *Events {
	return &Events{cfg: cfg, store: store, audit: audit.NewLog(store, time.Now, cfg.Logger), streams: semaphore.NewWeighted(int64(cfg.Streams))}
}

// Types is the catalog.
func (e *Events) Types(ctx context.Context, org leadevents.OrgID) ([]leadevents.TypeSummary, error) {
	return e.store.EventTypes(ctx, org)
}

// Page reads events from a cursor on, "" for the newest; next is the cursor of those that
// follow, "" at the end. What is stored meanwhile changes no page behind the cursor: an
// event stands where it occurred, whenever it came.
func (e *Events) Page(ctx context.Context, org leadevents.OrgID, q audience.EventQuery, cursor string, limit int) (page []leadevents.StoredEvent, next string, err error) {
	var after *leadevents.EventPosition
	if cursor != "" {
		at, err := parseEventCursor(org, q, cursor)
		if err != nil {
			return nil, "", err
		}
		after = &at
	}
	page, position, err := e.store.Events(ctx, org, q, after, limit)
	if err != nil || position == nil {
		return page, "", err
	}
	return page, eventCursor(org, q, *position), nil
}

// Export hands on all events, newest first, in pieces. what is the object of the entry in
// the audit log.
func (e *Events) Export(ctx context.Context, org leadevents.OrgID, q audience.EventQuery, format string, f func(events []leadevents.StoredEvent) error) error {
	if !e.streams.TryAcquire(1) {
		return leadevents.Errorf(leadevents.Unavailable, "%d exports of events are under way already (events.streams); send the same request again in a moment", e.cfg.Streams)
	}
	defer e.streams.Release(1)
	act := audit.Act{Action: audit.EventsExport, Object: strings.Join(q.EventTypes, ","), Reads: true, Detail: exportDetail(q, format)}
	return e.audit.Do(ctx, org, act, func(ctx context.Context, detail audit.Detail) error {
		events := 0
		err := e.store.EachEvent(ctx, org, q, func(piece []leadevents.StoredEvent) error {
			events += len(piece)
			return f(piece)
		})
		detail["events"] = events // that were handed on; how many arrived nobody knows
		return err
	})
}

// exportDetail is what of a question stands in the audit log: no phone, and no value that
// the metadata is compared with, which may be anybody's name.
func exportDetail(q audience.EventQuery, format string) audit.Detail {
	d := audit.Detail{"format": format}
	if q.From > 0 {
		d["from"] = q.From.String()
	}
	if q.To < audience.EveryMoment {
		d["to"] = q.To.String()
	}
	if q.Phone != 0 {
		d["oneLead"] = true
	}
	if len(q.Where) > 0 {
		d["where"] = len(q.Where)
	}
	return d
}

// eventList is what cursors of events begin with: the list, and the question, so that one
// that was given for another question is refused rather than misread.
func eventList(q audience.EventQuery) string {
	sum := sha256.Sum256(q.AppendJSON(nil))
	return "e1" + hex.EncodeToString(sum[:8])
}

func eventCursor(org leadevents.OrgID, q audience.EventQuery, p leadevents.EventPosition) string {
	return writeCursor(eventList(q), org, strconv.FormatInt(int64(p.OccurredAt), 10)+"."+strconv.FormatUint(uint64(p.Phone), 10)+"."+p.EventType)
}

// parseEventCursor reads what eventCursor wrote for the same organization and question.
func parseEventCursor(org leadevents.OrgID, q audience.EventQuery, cursor string) (leadevents.EventPosition, error) {
	position, err := readCursor(eventList(q), org, cursor)
	if err != nil {
		return leadevents.EventPosition{}, err
	}
	occurred, rest, _ := strings.Cut(position, ".")
	digits, eventType, found := strings.Cut(rest, ".")
	at, err := strconv.ParseInt(occurred, 10, 64)
	phone, err2 := strconv.ParseUint(digits, 10, 64)
	p := leadevents.EventPosition{OccurredAt: leadevents.Millis(at), EventType: eventType, Phone: leadevents.Phone(phone)}
	if err != nil || err2 != nil || !found || p.OccurredAt < leadevents.MinOccurredAt || p.OccurredAt > audience.EveryMoment || len(eventType) > 4*audience.MaxEventType {
		return leadevents.EventPosition{}, errCursor
	}
	return p, nil
}

// EventParameters are the parameters of a question about events.
type EventParameters struct {
	EventTypes             []string
	Phone, From, To, Where string // "" where absent
}

// ParseEventQuery reads a question as it stands in a query string.
func ParseEventQuery(p EventParameters) (q audience.EventQuery, err error) {
	q.EventTypes = p.EventTypes
	if err := q.Validate("eventType"); err != nil {
		return q, err
	}
	if p.Phone != "" {
		if q.Phone, err = phoneOf("phone", p.Phone); err != nil {
			return q, err
		}
	}
	if q.From, err = moment("from", p.From); err != nil {
		return q, err
	}
	if q.To, err = moment("to", p.To); err != nil {
		return q, err
	}
	if p.To == "" {
		q.To = audience.EveryMoment
	}
	if p.Where != "" {
		if q.Where, err = audience.DecodeWhere([]byte(p.Where), "where"); err != nil {
			return q, leadevents.Errorf(leadevents.InvalidRequest, "%v", err)
		}
	}
	return q, nil
}

// phoneOf reads a phone of the query string or a path. A + that was not escaped arrives
// as a space, which a phone may have around it.
func phoneOf(name, text string) (leadevents.Phone, error) {
	phone, err := leadevents.ParsePhone(text)
	if err != nil {
		return 0, leadevents.Errorf(leadevents.InvalidRequest, "%s must be a possible phone number, as +15551234567 (a + in it is written %%2B)", name)
	}
	return phone, nil
}
