package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/retention"
)

// excluded is what an evaluation leaves out whatever the tables have: leads that are
// being erased, events of batches that are being undone, and events that have expired. It is asked for when the evaluation begins,
// by ClickHouse's clock.
type excluded struct {
	erasing []uint64 // phones under an entry of the journal, ascending
	undoing []string // event types of batches under an entry of the journal
	rules   *retention.Rules
	now     leadevents.Millis
}

// exclude asks for it.
func (v *evaluation) exclude(ctx context.Context) error {
	erasing, now, err := v.db.erasing(ctx, v.org)
	if err != nil {
		return err
	}
	records, err := v.db.RetentionRecords(ctx, v.org)
	if err != nil {
		return err
	}
	undoing, err := v.db.undoing(ctx, v.org)
	if err != nil {
		return err
	}
	v.excluded = excluded{erasing: erasing, undoing: undoing, now: now}
	if rules := retention.RulesOf(records); !rules.Empty() {
		v.rules = rules
	}
	return nil
}

// erasing reads which leads are under an entry of the journal, and the clock.
func (db *DB) erasing(ctx context.Context, org leadevents.OrgID) (phones []uint64, now leadevents.Millis, err error) {
	err = db.query(ctx, "read which leads are being erased", "SELECT groupUniqArray(phone), toUnixTimestamp64Milli(now64(3)) FROM journal WHERE "+ofOrganization+" AND phone != 0",
		clickhouse.Parameters{"organization": org.String()}, func(rows driver.Rows) error {
			var at int64
			err := rows.Scan(&phones, &at)
			now = leadevents.Millis(at)
			return err
		})
	slices.Sort(phones)
	return phones, now, err
}

// isErasing tells whether a lead is one of them.
func (e *excluded) isErasing(phone uint64) bool {
	_, found := slices.BinarySearch(e.erasing, phone)
	return found
}

// notErasing is the condition that a lead is not being erased; of none where nobody was
// when the evaluation began.
func (q *question) notErasing() string {
	if len(q.erasing) == 0 {
		return ""
	}
	return notUnderJournal
}

// unexpired is the condition that an event of a type, or the last one of a state, has not
// expired.
func (q *question) unexpired(eventType, column string) string {
	border := q.rules.Border(eventType, q.now)
	if border <= leadevents.MinOccurredAt {
		return ""
	}
	return " AND " + column + " >= " + q.moment(border)
}

// anyUnexpired is that of states, or events, of any type; column is their time.
func (q *question) anyUnexpired(column string) string {
	if q.rules == nil {
		return ""
	}
	names := q.rules.Names()
	borders := make([]uint64, len(names))
	for i, name := range names {
		borders[i] = uint64(q.rules.Border(name, q.now))
	}
	other := strconv.FormatInt(int64(retention.BorderOf(q.rules.Days, q.now)), 10)
	if len(names) == 0 {
		return " AND " + column + " >= fromUnixTimestamp64Milli(" + q.parameter("Int64", other) + ")"
	}
	return fmt.Sprintf(" AND %s >= fromUnixTimestamp64Milli(transform(toString(event_type), %s, %s, %s))",
		column, q.parameter("Array(String)", parameterTexts(names)), q.parameter("Array(Int64)", parameterNumbers(borders)), q.parameter("Int64", other))
}

// dropErasing removes from a run who began to be erased while it was made. Its rows were
// stored before this look at the journal: an entry that comes later finds them all.
func (v *evaluation) dropErasing(ctx context.Context) error {
	erasing, _, err := v.db.erasing(ctx, v.org)
	if err != nil || len(erasing) == 0 {
		return err
	}
	for _, table := range []string{"send_evidence", "send_leads"} {
		err := v.db.silently(params(ctx, ofRun(v.org, v.run)), "DELETE FROM "+table+" WHERE "+ofOrganization+" AND run = {run:UInt64} AND phone IN (SELECT phone FROM journal WHERE "+ofOrganization+" AND phone != 0)")
		if err != nil {
			return unavailable(fmt.Errorf("leave leads out that are being erased: %w", err))
		}
	}
	return nil
}
