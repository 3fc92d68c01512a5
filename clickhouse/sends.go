package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/query/audience"
)

// Clock is the server's, the one by which the moments of sends are told.
func (db *DB) Clock(ctx context.Context) (leadevents.Millis, error) {
	var now int64
	if err := db.conn.QueryRow(ctx, `SELECT toUnixTimestamp64Milli(now64(3))`).Scan(&now); err != nil {
		return 0, unavailable(fmt.Errorf("read the store's clock: %w", err))
	}
	return leadevents.Millis(now), nil
}

// SendLog reads all entries of one send; without any there is none.
func (db *DB) SendLog(ctx context.Context, org leadevents.OrgID, id string) (audience.SendLog, error) {
	var log audience.SendLog
	p := clickhouse.Parameters{"organization": org.String(), "send": id}
	err := db.stream(ctx, "send_log", p, func(rows driver.Rows) error {
		e, err := scanSendEntry(rows)
		log = append(log, e)
		return err
	})
	return log, err
}

func scanSendEntry(rows driver.Rows) (audience.SendEntry, error) {
	var (
		e                           audience.SendEntry
		kind, reference, filters    string
		mode, hash                  string
		fireAt, asOf, written       int64
		listID, listLeads, phonesID uint64
		totals                      []uint64
	)
	d := &e.Definition
	err := rows.Scan(&e.Sequence, &e.ID, &kind, &d.CampaignID, &reference, &phonesID, &filters, &fireAt,
		&listID, &mode, &hash, &listLeads, &e.DefinitionID, &e.ListID, &e.Run, &asOf, &totals, &e.Reason, &written)
	if err != nil {
		return e, err
	}
	e.Kind, e.WrittenAt = audience.SendKind(kind), leadevents.Millis(written)
	switch e.Kind {
	case audience.SendDefined:
		d.FireAt, d.Phones, d.PhoneCount = leadevents.Millis(fireAt), phonesID, listLeads
		copy(d.PhonesHash[:], hash)
		if d.Audience, err = audience.DecodeReference([]byte(reference), "audience"); err == nil {
			d.Filters, err = audience.DecodeFilters([]byte(filters), "eventFilters")
		}
	case audience.SendListed:
		e.ListFilter = audience.ListFilter{List: audience.List{ID: listID, Mode: audience.Mode(mode)}, Leads: listLeads}
		copy(e.ListFilter.Hash[:], hash)
	case audience.SendClaimed:
		e.FireAt, e.AsOf = leadevents.Millis(fireAt), leadevents.Millis(asOf)
	case audience.SendDone:
		if len(totals) < 3 {
			err = fmt.Errorf("entry %d has %d totals, want 3 or more", e.ID, len(totals))
			break
		}
		e.Totals = audience.Totals{Total: totals[0], Kept: totals[1], DroppedByList: totals[2], DroppedByFilters: totals[3:]}
	}
	if err != nil {
		err = fmt.Errorf("entry %d of a send: %w", e.ID, err)
	}
	return e, err
}

// AddSendEntry makes an entry part of its send's log. Adding one twice is the same
// as once.
func (db *DB) AddSendEntry(ctx context.Context, org leadevents.OrgID, id string, e audience.SendEntry) error {
	var (
		d, l      = &e.Definition, &e.ListFilter
		reference string
		filters   string
		totals    []uint64
		fireAt    = e.FireAt
		leads     = l.Leads
		hash      = l.Hash
	)
	switch e.Kind {
	case audience.SendDefined:
		reference, filters = string(d.Audience.AppendJSON(nil)), string(audience.AppendFilters(nil, d.Filters))
		fireAt, leads, hash = d.FireAt, d.PhoneCount, d.PhonesHash
	case audience.SendDone:
		totals = append([]uint64{e.Totals.Total, e.Totals.Kept, e.Totals.DroppedByList}, e.Totals.DroppedByFilters...)
	}
	batch, err := db.batch(ctx, "INSERT INTO sends (organization_id, send_id, sequence, entry, kind, campaign_id, audience, phones, event_filters, fire_at, "+
		"list_id, list_mode, list_hash, list_leads, definition, list, run, as_of, totals, reason)")
	if err == nil {
		err = batch.Append(uint64(org), id, e.Sequence, e.ID, string(e.Kind), d.CampaignID, reference, d.Phones, filters, fireAt.Time(),
			l.ID, string(l.Mode), string(hash[:]), leads, e.DefinitionID, e.ListID, e.Run, e.AsOf.Time(), totals, e.Reason)
	}
	if err == nil {
		err = batch.Send()
	}
	if err != nil {
		return unavailable(fmt.Errorf("add %s to the log of a send: %w", e.Kind, err))
	}
	return nil
}

// listBlock is how many leads of a list go to the server at once.
const listBlock = 100_000

// StoreList stores leads under a list that is new: phones, and externalIds.
func (db *DB) StoreList(ctx context.Context, org leadevents.OrgID, list uint64, phones []leadevents.Phone, externalIDs []string) error {
	for n := len(phones) + len(externalIDs); n > 0; n = len(phones) + len(externalIDs) {
		byPhone := min(len(phones), listBlock)
		byID := min(len(externalIDs), listBlock-byPhone)
		size := byPhone + byID
		numbers, ids := make([]uint64, size), make([]string, size)
		for i, p := range phones[:byPhone] {
			numbers[i] = uint64(p)
		}
		copy(ids[byPhone:], externalIDs[:byID])
		phones, externalIDs = phones[byPhone:], externalIDs[byID:]

		err := db.insertColumns(ctx, "INSERT INTO send_lists (organization_id, list, phone, external_id)",
			slices.Repeat([]uint64{uint64(org)}, size), slices.Repeat([]uint64{list}, size), numbers, ids)
		if err != nil {
			return unavailable(fmt.Errorf("store a list: %w", err))
		}
	}
	return nil
}

// ListLeads counts the leads of a list that are stored, and those that were erased since
// it was.
func (db *DB) ListLeads(ctx context.Context, org leadevents.OrgID, list uint64) (leads uint64, err error) {
	p := clickhouse.Parameters{"organization": org.String(), "list": strconv.FormatUint(list, 10)}
	err = db.stream(ctx, "send_list_count", p, func(rows driver.Rows) error { return rows.Scan(&leads) })
	return leads, err
}

// SetLeases writes leases, in one insert, that hold for d from now on, by the
// server's clock.
func (db *DB) SetLeases(ctx context.Context, d time.Duration, leases ...audience.Lease) error {
	if len(leases) == 0 {
		return nil
	}
	var (
		orgs, runs, renewals, done, parts, ended, left []uint64
		sends                                          []string
	)
	number := map[bool]uint64{true: 1}
	for _, l := range leases {
		orgs, sends, runs, renewals = append(orgs, uint64(l.Send.Org)), append(sends, l.Send.ID), append(runs, l.Run), append(renewals, l.Renewal)
		done, parts = append(done, uint64(l.Done)), append(parts, uint64(l.Parts))
		ended, left = append(ended, number[l.Ended]), append(left, number[l.Left])
	}
	p := clickhouse.Parameters{
		"organizations": parameterNumbers(orgs), "sends": parameterTexts(sends), "runs": parameterNumbers(runs), "renewals": parameterNumbers(renewals),
		"done": parameterNumbers(done), "parts": parameterNumbers(parts), "ended": parameterNumbers(ended), "left": parameterNumbers(left),
		"milliseconds": strconv.FormatInt(d.Milliseconds(), 10),
	}
	if err := db.conn.Exec(params(ctx, p), sqlText("send_leases_set")); err != nil {
		return unavailable(fmt.Errorf("write %d leases: %w", len(leases), err))
	}
	return nil
}

// Lease reads one; alive says whether it has not expired. Without one it is zero.
func (db *DB) Lease(ctx context.Context, send audience.SendRef, run uint64) (l audience.Lease, alive bool, err error) {
	p := clickhouse.Parameters{"organization": send.Org.String(), "send": send.ID, "run": strconv.FormatUint(run, 10)}
	err = db.stream(ctx, "send_lease", p, func(rows driver.Rows) (err error) {
		l, alive, err = scanLease(rows)
		return err
	})
	return l, alive, err
}

// ExpiredLeases reads leases of runs that have not ended and that nobody renews.
func (db *DB) ExpiredLeases(ctx context.Context) ([]audience.Lease, error) {
	var leases []audience.Lease
	err := db.stream(ctx, "send_leases_expired", nil, func(rows driver.Rows) error {
		l, _, err := scanLease(rows)
		leases = append(leases, l)
		return err
	})
	return leases, err
}

func scanLease(rows driver.Rows) (l audience.Lease, alive bool, err error) {
	var (
		org         uint64
		done, parts uint32
		living      bool
	)
	err = rows.Scan(&org, &l.Send.ID, &l.Run, &l.Renewal, &done, &parts, &l.Ended, &l.Left, &living)
	l.Send.Org, l.Done, l.Parts = leadevents.OrgID(org), int(done), int(parts)
	return l, living, err
}
