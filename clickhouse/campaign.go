package clickhouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"

	"leadevents"
	"leadevents/query/audience"
)

// EvaluationConfig bounds the evaluation of campaign filters.
type EvaluationConfig struct {
	// AtOnce is how many previews are under way, and how many materializations;
	// default 4. Others wait for them.
	AtOnce int
	// Threads is how many cores of the server one of their queries keeps busy; default 2.
	// A materialization of an audience of one slice has two of them under way.
	Threads int
	// Memory bounds what one of its queries holds at the server; default 1 GiB.
	// What would be more than a quarter of it is grouped or sorted on the disk.
	Memory uint64
	// SliceLeads is how many leads a preview asks about together, and a
	// materialization up to four times as many, one for each 512 bytes of Memory;
	// default 1,048,576. A preview holds 9 bytes of each here.
	SliceLeads int
	// PreviewTimeout and MaterializeTimeout bound one of them; default 30 s and 30
	// min.
	PreviewTimeout, MaterializeTimeout time.Duration
	// Nice is how far a materialization stands back behind inserts for the server's
	// cores, as nice(1) has it, 0 to 19; default 0.
	Nice int
}

func (c EvaluationConfig) withDefaults() EvaluationConfig {
	c.AtOnce = cmp.Or(c.AtOnce, 4)
	c.Threads = cmp.Or(c.Threads, 2)
	c.Memory = cmp.Or(c.Memory, 1<<30)
	c.SliceLeads = cmp.Or(c.SliceLeads, 1<<20)
	c.PreviewTimeout = cmp.Or(c.PreviewTimeout, 30*time.Second)
	c.MaterializeTimeout = cmp.Or(c.MaterializeTimeout, 30*time.Minute)
	return c
}

// within runs an evaluation within a time limit, which holds for its wait at the gate
// too: for so long, and no longer, are the layers of its audience kept.
func within(ctx context.Context, g *gate, limit time.Duration, setting string, evaluate func(ctx context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	leave, err := g.enter(limited)
	if err != nil {
		return err
	}
	defer leave()
	err = evaluate(limited)
	if err != nil && expired(limited) && ctx.Err() == nil {
		return leadevents.Wrap(leadevents.Unavailable, err, "the evaluation of the filters did not end within %s (%s)", limit, setting)
	}
	return err
}

// expired says whether a context has ended, or is about to: a connection that has the same
// deadline may be told of it a moment earlier.
func expired(ctx context.Context) bool {
	deadline, bounded := ctx.Deadline()
	return ctx.Err() != nil || bounded && !time.Now().Before(deadline)
}

// evaluation is a question on its way to the server.
type evaluation struct {
	audience.Evaluation
	db  *DB
	org leadevents.OrgID
	run uint64 // of a materialization
	// about is how many leads a slice has, at most as a rule.
	about int

	excluded // what was found when it began
}

// newEvaluation checks what a programmer may forget: a source that names nobody
// must not become "everybody".
func (db *DB) newEvaluation(org leadevents.OrgID, run uint64, e audience.Evaluation) (*evaluation, error) {
	switch e.Leads.Source {
	case audience.Stored, audience.Listed, audience.EverHad, audience.EveryLead:
	default:
		return nil, leadevents.Errorf(leadevents.Internal, "the evaluation names no leads")
	}
	if err := audience.ValidateFilters(e.Filters, "eventFilters"); err != nil {
		return nil, err
	}
	if e.List != nil && e.List.Mode != audience.Include && e.List.Mode != audience.Exclude {
		return nil, leadevents.Errorf(leadevents.Internal, "the list filter has no mode")
	}
	return &evaluation{Evaluation: e, db: db, org: org, run: run}, nil
}

// question is one query of an evaluation about a slice, with its parameters.
type question struct {
	*where
	*evaluation
	slice
	inOrder clickhouse.Settings // for reading parts in the order of their key
}

func (v *evaluation) question(s slice) *question {
	q := &question{where: newWhere(), evaluation: v, slice: s}
	q.parameters["organization"] = v.org.String()
	q.parameters["run"] = strconv.FormatUint(v.run, 10)
	q.parameters["first"], q.parameters["last"] = strconv.FormatUint(s.from, 10), strconv.FormatUint(s.to, 10)
	return q
}

// ofOrganization is the condition that every part of a query has, ofSlice what
// the leads of a slice are told by.
const (
	ofOrganization = "organization_id = {organization:UInt64}"
	inSlice        = "phone >= {first:UInt64} AND phone <= {last:UInt64}"
	ofSlice        = ofOrganization + " AND " + inSlice
)

// indexedPhones is up to how many phones of an IN are looked up through the
// sorting key. For a million the server takes seconds to prepare that (26.7), and
// there is nothing to gain, since one of them lies in every granule.
const indexedPhones = 10_000

// settings of an evaluation's queries. What does not fit a quarter of the memory is
// grouped and sorted on the disk.
func (q *question) settings() clickhouse.Settings {
	c := q.db.evaluation
	settings := clickhouse.Settings{
		"max_threads":                                 c.Threads,
		"max_memory_usage":                            c.Memory,
		"max_bytes_before_external_group_by":          c.Memory / 4,
		"max_bytes_before_external_sort":              c.Memory / 4,
		"use_index_for_in_with_subqueries_max_values": indexedPhones,
	}
	maps.Copy(settings, q.inOrder)
	if c.Nice != 0 && q.run != 0 {
		settings["os_threads_nice_value_query"] = c.Nice
	}
	maps.Copy(settings, q.where.settings())
	return settings
}

// read reads an answer of phones, and of a flag beside each if flagged.
func (q *question) read(ctx context.Context, sql string, external []ch.ExternalTable, flagged bool, block func(phones []uint64, flags []uint8)) error {
	var (
		phones proto.ColUInt64
		flags  proto.ColUInt8
		into   = proto.Results{{Name: "phone", Data: &phones}}
	)
	if flagged {
		into = append(into, proto.ResultColumn{Name: "flag", Data: &flags})
	}
	return q.db.columns(ctx, columnQuery{
		text: sql, parameters: q.parameters, settings: q.settings(), external: external, into: into,
		block: func() error {
			block(phones, flags)
			return nil
		},
	})
}

// killLimit bounds the wait for the end of a statement whose outcome nobody waits
// for any more.
const killLimit = 10 * time.Second

// write runs a statement that stores something. When it fails it has ended: what it
// stored does not become more after the error.
func (q *question) write(ctx context.Context, sql string) error {
	id := "evaluation-" + leadevents.NewBatchID().String()
	settings := q.settings()
	settings["async_insert"] = 0
	if q.slice == everyPhone {
		// Sorting and compressing what is stored is a sixth of a materialization. Where there
		// are more slices it is left to one thread: ingest beside a huge audience was
		// slowed down by 36 % (a third is the goal), for 5 % of the audience's time.
		settings["max_insert_threads"] = q.db.evaluation.Threads
	}
	err := q.db.conn.Exec(clickhouse.Context(ctx, clickhouse.WithQueryID(id), clickhouse.WithParameters(q.parameters), clickhouse.WithSettings(settings)), sql)
	if err == nil {
		return nil
	}
	if _, ended := errors.AsType[*clickhouse.Exception](err); !ended {
		killing, cancel := context.WithTimeout(context.WithoutCancel(ctx), killLimit)
		defer cancel()
		err = errors.Join(err, q.db.Kill(killing, id))
	}
	return unavailable(err)
}

// count asks for one number.
func (q *question) count(ctx context.Context, sql string) (n uint64, err error) {
	err = q.db.conn.QueryRow(q.bind(ctx), sql).Scan(&n)
	return n, unavailable(err)
}

func (q *question) layers() string {
	return q.parameter("Array(UInt64)", parameterNumbers(q.Leads.Layers))
}

// storedPhones selects the phones of a stored audience, some more than once.
func (q *question) storedPhones() string {
	return "SELECT phone FROM audience_leads WHERE " + ofSlice + " AND layer IN " + q.layers() + q.notErasing()
}

// stored selects the leads (phone, external_id) of a stored audience, each phone
// once.
func (q *question) stored() string {
	sql := "SELECT phone, external_id FROM audience_leads WHERE " + ofSlice + " AND layer IN " + q.layers() + q.notErasing()
	if len(q.Leads.Layers) > 1 {
		sql = "SELECT phone, argMin(external_id, indexOf(" + q.layers() + ", layer)) AS external_id FROM audience_leads WHERE " +
			ofSlice + " AND layer IN " + q.layers() + q.notErasing() + " GROUP BY phone"
	}
	return sql
}

// living selects the phones of leads that are found by their events, some more
// than once.
func (q *question) living() string {
	table, column, standing := "lead_states", "last_at", ""
	if q.livesByEvents() {
		table, column, standing = "lead_events", "occurred_at", notUndone
	}
	sql := "SELECT phone FROM " + table + " WHERE " + ofSlice + q.notErasing() + standing
	if q.Leads.Source == audience.EverHad {
		return sql + " AND event_type = " + q.text(q.Leads.EventType) + q.unexpired(q.Leads.EventType, column)
	}
	return sql + q.anyUnexpired(column)
}

// livesByEvents tells whether living reads events: states do not know yet what is undone.
func (q *question) livesByEvents() bool {
	return q.Leads.Source == audience.EverHad && q.isUndoing(q.Leads.EventType) || q.Leads.Source == audience.EveryLead && len(q.undoing) > 0
}

// listedByPhone and listedByID select what a list names.
func (q *question) listedByPhone() string {
	return "SELECT phone FROM send_lists WHERE " + ofSlice + " AND list = " + q.list() + " AND external_id = ''"
}

func (q *question) listedByID() string {
	return "SELECT external_id FROM send_lists WHERE " + ofOrganization + " AND list = " + q.list() + " AND phone = 0"
}

func (q *question) list() string { return q.parameter("UInt64", strconv.FormatUint(q.List.ID, 10)) }

// states are the states of a filter's event type, around the slice: the hint keeps
// other granules from being read, and a comparison of every row costs as much
// as its look-up.
func (q *question) states(f audience.Filter) string {
	return "FROM lead_states" + q.ofType(f)
}

// statesSince are those of them whose last event is not before from. The time is looked
// at first, by hand: in the order in which the server would look (26.7) it takes
// half as much processor time again.
func (q *question) statesSince(f audience.Filter, from leadevents.Millis) string {
	return "FROM lead_states PREWHERE last_at >= " + q.moment(from) + q.ofType(f)
}

func (q *question) ofType(f audience.Filter) string {
	sql := " WHERE " + ofOrganization + " AND event_type = " + q.text(f.EventType) + q.unexpired(f.EventType, "last_at")
	if q.slice != everyPhone {
		sql += " AND indexHint(" + inSlice + ")"
	}
	return sql
}

// events are the rows that a filter counts, in or out of the slice; among, if not
// empty, is a condition on their phones. FINAL where the metadata decides: of two rows with one key the one
// that stays is asked. Both have the phone in their key, so that it may be looked
// at before.
func (q *question) events(f audience.Filter, among string) string {
	among += q.unexpired(f.EventType, "occurred_at") + q.standing(f.EventType)
	if len(f.Where) == 0 {
		return "FROM lead_events WHERE " + ofOrganization + " AND " + q.matches(f, q.FireAt, q.ClockSkew) + among
	}
	return "FROM lead_events FINAL PREWHERE " + ofOrganization + among + " WHERE " + q.matches(f, q.FireAt, q.ClockSkew)
}

// What reading a part in the order of its sorting key may hold, for all parts are
// read at once: 7.5 MiB with blocks ahead of the merge, which keeps two threads busy,
// 1 MiB without (26.7). Four and eight times that, since sets and groups need memory too.
const (
	memoryAhead   = 32 << 20
	memoryInOrder = 8 << 20
)

// counted selects (phone, events, last_at): how many distinct events of each phone
// a filter counts, and when the last of them occurred. Rows that stand twice
// are one event; they are told in the order in which the parts lie anyway, so that
// merging the parts is all it takes. Where there are many parts the rows are
// sorted, which goes to the disk where it must: of 34 million rows in 23 parts
// 11.1 s of processor time and 527 MiB instead of 2.7 s and 173 MiB. uniqExact has a
// hash table for each phone, three times the memory of sorting and half as long again;
// grouping by phone and time first is a tenth faster than sorting, but fails where
// its groups do not fit into the memory (24 million in 1 GiB); FINAL costs as much as
// sorting, a join instead of the IN four times as much.
func (q *question) counted(ctx context.Context, f audience.Filter, among string) (string, error) {
	const group = "SELECT phone, toUInt32(count()) AS events, max(occurred_at) AS last_at "
	if len(f.Where) > 0 {
		return group + q.events(f, among) + " GROUP BY phone", nil
	}
	parts, err := q.count(ctx, "SELECT sum(parts) FROM (EXPLAIN ESTIMATE SELECT phone "+q.events(f, "")+")")
	if err != nil {
		return "", fmt.Errorf("estimate the events of a filter: %w", err)
	}
	order := "phone, occurred_at"
	if parts*memoryInOrder <= q.db.evaluation.Memory {
		order, q.inOrder = "occurred_at, phone", clickhouse.Settings{"max_block_size": 16_384, "read_in_order_use_buffering": 0}
		if parts*memoryAhead <= q.db.evaluation.Memory {
			q.inOrder["read_in_order_use_buffering"] = 1
		}
	}
	return group + "FROM (SELECT phone, occurred_at " + q.events(f, among) + " ORDER BY " + order + " LIMIT 1 BY " + order + ") GROUP BY phone", nil
}
