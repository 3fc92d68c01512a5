package clickhouse

import (
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"

	"leadevents"
	"leadevents/query/audience"
)

// eventSelection is the part of a query about events that says which are meant.
type eventSelection struct {
	*where
	audience.EventQuery
}

func selectEvents(org leadevents.OrgID, q audience.EventQuery) eventSelection {
	s := eventSelection{newWhere(), q}
	s.parameters["organization"] = org.String()
	return s
}

// byKey is the condition on columns of the sorting key, which all rows of one event
// share: it may be asked before those are made one. The time is [from, to).
func (s eventSelection) byKey(from, to leadevents.Millis) string {
	parts := []string{ofOrganization, "occurred_at >= " + s.moment(from), "occurred_at < " + s.moment(min(to, audience.EveryMoment))}
	switch len(s.EventTypes) {
	case 0:
	case 1:
		parts = append(parts, "event_type = "+s.text(s.EventTypes[0]))
	default:
		parts = append(parts, "event_type IN "+s.parameter("Array(String)", parameterTexts(s.EventTypes)))
	}
	if s.Phone != 0 {
		parts = append(parts, "phone = "+s.parameter("UInt64", strconv.FormatUint(uint64(s.Phone), 10)))
	}
	return strings.Join(parts, " AND ")
}

// byMetadata is the condition on the row that stays of an event's.
func (s eventSelection) byMetadata() string { return s.holdAll("metadata", s.Where) }

// readingEvents are the settings of queries about events: of one thread, for they read
// some granules of each part, and more threads would only be begun (two for a lead, who is looked for
// everywhere); and the index on phones is asked, whose answer is the same for all
// rows of an event, so that FINAL need not read again what it has ruled out.
func (s eventSelection) readingEvents() clickhouse.Settings {
	settings := s.settings()
	if settings["max_threads"] = 1; s.Phone != 0 {
		settings["max_threads"] = 2
	}
	settings["use_skip_indexes_if_final"] = 1
	settings["use_skip_indexes_if_final_exact_mode"] = 0
	return settings
}

// eventColumns selects what eventRows reads.
const eventColumns = "phone, toUnixTimestamp64Milli(occurred_at) AS occurred, metadata, toUnixTimestamp64Milli(ingested_at) AS ingested, batch_id"

// eventRows are the columns of an answer with events.
type eventRows struct {
	types    *proto.ColLowCardinality[string] // nil where all are of one type
	phones   proto.ColUInt64
	occurred proto.ColInt64
	metadata proto.ColStr
	ingested proto.ColInt64
	batches  proto.ColUInt64
}

func newEventRows(typed bool) *eventRows {
	r := &eventRows{}
	if typed {
		r.types = new(proto.ColStr).LowCardinality()
	}
	return r
}

func (r *eventRows) into() proto.Results {
	into := proto.Results{
		{Name: "phone", Data: &r.phones}, {Name: "occurred", Data: &r.occurred}, {Name: "metadata", Data: &r.metadata},
		{Name: "ingested", Data: &r.ingested}, {Name: "batch_id", Data: &r.batches},
	}
	if r.types != nil {
		into = append(proto.Results{{Name: "event_type", Data: r.types}}, into...)
	}
	return into
}

func (r *eventRows) len() int { return len(r.phones) }

// appendTo appends the rows as events, of eventType where the answer does not say; what
// they hold is theirs.
func (r *eventRows) appendTo(events []leadevents.StoredEvent, eventType string) []leadevents.StoredEvent {
	texts := append([]byte(nil), r.metadata.Buf...) // one copy for all
	for i := range r.phones {
		if r.types != nil {
			eventType = r.types.Row(i)
		}
		at := r.metadata.Pos[i]
		events = append(events, leadevents.StoredEvent{
			EventType: eventType, Phone: leadevents.Phone(r.phones[i]), OccurredAt: leadevents.Millis(r.occurred[i]),
			Metadata: texts[at.Start:at.End:at.End], IngestedAt: leadevents.Millis(r.ingested[i]), Batch: leadevents.BatchID(r.batches[i]),
		})
	}
	return events
}
