package clickhouse

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/query/audience"
)

// ofJournaled are the rows of the phones that entries name. The phones are read on the
// server, also by a mutation that it goes on with after a restart: the text of none shows
// one, on the disk or in a log.
const ofJournaled = ofOrganization + " AND phone IN (SELECT phone FROM journal WHERE " + ofOrganization + " AND entry IN {entries:Array(UInt64)} AND phone != 0)"

// removePhones deletes the rows of a table, if there are any, and waits until nobody sees
// them. They are masked, which writes a column of a byte a row instead of whole parts;
// [DB.Purge] takes them off the disk.
func (db *DB) removePhones(ctx context.Context, org leadevents.OrgID, entries []uint64, tables ...string) error {
	for _, table := range tables {
		there := false
		err := db.query(ctx, "look into "+table, "SELECT 1::UInt8 FROM "+table+" WHERE "+ofJournaled+" LIMIT 1", ofEntries(org, entries), func(driver.Rows) error {
			there = true
			return nil
		})
		if err != nil {
			return err
		}
		if !there {
			continue
		}
		statement := clickhouse.Context(params(ctx, ofEntries(org, entries)), clickhouse.WithSettings(clickhouse.Settings{"lightweight_deletes_sync": 2}))
		if err := db.silently(statement, "DELETE FROM "+table+" WHERE "+ofJournaled); err != nil {
			return unavailable(fmt.Errorf("erase from %s: %w", table, err))
		}
	}
	return nil
}

// RemoveEvents deletes the rows of events.
func (db *DB) RemoveEvents(ctx context.Context, org leadevents.OrgID, entries []uint64) error {
	return db.removePhones(ctx, org, entries, "lead_events")
}

// RemoveStates deletes the states.
func (db *DB) RemoveStates(ctx context.Context, org leadevents.OrgID, entries []uint64) error {
	return db.removePhones(ctx, org, entries, "lead_states")
}

// RemoveElsewhere deletes, or blanks, what else there is.
func (db *DB) RemoveElsewhere(ctx context.Context, org leadevents.OrgID, entries []uint64) error {
	// Before the lists have lost their leads: a run counts them.
	err := db.conn.Exec(params(ctx, ofEntries(org, entries)), "INSERT INTO send_list_erasures (organization_id, list, entry) "+
		"SELECT DISTINCT l.organization_id, l.list, j.entry FROM (SELECT organization_id, list, phone FROM send_lists WHERE "+ofJournaled+") AS l "+
		"INNER JOIN (SELECT phone, entry FROM journal WHERE "+ofOrganization+" AND entry IN {entries:Array(UInt64)} AND phone != 0) AS j ON j.phone = l.phone")
	if err != nil {
		return unavailable(fmt.Errorf("note which lists lose leads: %w", err))
	}
	// Uploads before the audiences that they become, lists before the results that are made of them.
	if err := db.removePhones(ctx, org, entries, "audience_uploads", "audience_leads", "send_lists", "send_evidence", "send_leads", "contested", "undo_rows"); err != nil {
		return err
	}
	return db.blankRejects(ctx, org, entries)
}

// rejectsOf finds the spellings of phones among an organization's rejects. What a phone
// looks like only libphonenumber can say, so every spelling is read: 10 µs each.
func (db *DB) rejectsOf(ctx context.Context, org leadevents.OrgID, phones map[leadevents.Phone][]uint64, f func(phone leadevents.Phone, spelling string, n uint64)) error {
	if len(phones) == 0 {
		return nil
	}
	digits := make(map[leadevents.Phone]string, len(phones))
	for phone := range phones {
		digits[phone] = strings.TrimPrefix(phone.String(), "+")
	}
	return db.stream(ctx, "reject_phones", clickhouse.Parameters{"organization": org.String()}, func(rows driver.Rows) error {
		var spelling *string
		var n uint64
		if err := rows.Scan(&spelling, &n); err != nil || spelling == nil {
			return err
		}
		if phone, err := leadevents.ParsePhone(*spelling); err == nil {
			if _, wanted := phones[phone]; wanted {
				f(phone, *spelling, n)
				return nil
			}
		}
		only := strings.Map(func(r rune) rune {
			if r < '0' || r > '9' {
				return -1
			}
			return r
		}, *spelling)
		for phone, d := range digits {
			if strings.Contains(only, d) {
				f(phone, *spelling, n)
				return nil
			}
		}
		return nil
	})
}

// blankRejects has rejects show null for a phone. The reject itself stays: there are as
// many as its batch's receipt says.
func (db *DB) blankRejects(ctx context.Context, org leadevents.OrgID, entries []uint64) error {
	phones, err := db.journaled(ctx, org, entries)
	if err != nil {
		return err
	}
	var spellings []string
	err = db.rejectsOf(ctx, org, phones, func(_ leadevents.Phone, spelling string, _ uint64) { spellings = append(spellings, spelling) })
	if err != nil || len(spellings) == 0 {
		return err
	}
	table, err := ext.NewTable("spellings", ext.Column("phone", "String"))
	if err != nil {
		return fmt.Errorf("describe spellings: %w", err)
	}
	if _, err := table.Block().Columns[0].Append(spellings); err != nil {
		return fmt.Errorf("append %d spellings: %w", len(spellings), err)
	}
	var batches, positions []uint64
	ctxWith := clickhouse.Context(ctx, clickhouse.WithExternalTable(table))
	err = db.stream(ctxWith, "reject_places", clickhouse.Parameters{"organization": org.String()}, func(rows driver.Rows) error {
		var batch uint64
		var position uint32
		err := rows.Scan(&batch, &position)
		batches, positions = append(batches, batch), append(positions, uint64(position))
		return err
	})
	for err == nil && len(batches) > 0 {
		n := min(len(batches), maxSwept)
		p := clickhouse.Parameters{"organization": org.String(), "batches": parameterNumbers(batches[:n]), "positions": parameterNumbers(positions[:n])}
		err = db.silently(params(ctx, p), "ALTER TABLE batch_rejects UPDATE phone = NULL WHERE "+ofOrganization+
			" AND (batch_id, toUInt64(position)) IN arrayZip({batches:Array(UInt64)}, {positions:Array(UInt64)}) SETTINGS mutations_sync = 2")
		batches, positions = batches[n:], positions[n:]
	}
	if err != nil {
		return unavailable(fmt.Errorf("blank phones of rejects: %w", err))
	}
	return nil
}

// RecountLayers corrects how many leads layers have. One that became no audience's is
// nowhere to be corrected.
func (db *DB) RecountLayers(ctx context.Context, org leadevents.OrgID, layers []leadevents.Layer) error {
	if len(layers) == 0 {
		return nil
	}
	p := clickhouse.Parameters{"organization": org.String(), "layers": parameterNumbers(layers)}
	counts := map[leadevents.Layer]uint64{}
	err := db.stream(ctx, "audience_recount", p, func(rows driver.Rows) error {
		var layer, n uint64
		err := rows.Scan(&layer, &n)
		counts[layer] = n
		return err
	})
	if err != nil {
		return err
	}
	numbers := make([]uint64, len(layers))
	for i, layer := range layers {
		numbers[i] = counts[layer]
	}
	p["counts"] = parameterNumbers(numbers)
	err = db.silently(params(ctx, p), "ALTER TABLE audience_layers UPDATE leads = transform(layer, {layers:Array(UInt64)}, {counts:Array(UInt64)}, leads) WHERE "+
		ofOrganization+" AND layer IN {layers:Array(UInt64)} AND leads != transform(layer, {layers:Array(UInt64)}, {counts:Array(UInt64)}, leads) SETTINGS mutations_sync = 2")
	if err != nil {
		return unavailable(fmt.Errorf("count %d layers anew: %w", len(layers), err))
	}
	return nil
}

// RehashLists corrects what sends say of lists: how many leads they have, and the hash by
// which the same list is known when it comes again.
func (db *DB) RehashLists(ctx context.Context, org leadevents.OrgID, lists []uint64) error {
	for _, list := range lists {
		p := clickhouse.Parameters{"organization": org.String(), "list": strconv.FormatUint(list, 10)}
		var phones []leadevents.Phone
		var ids []string
		err := db.stream(ctx, "send_list_leads", p, func(rows driver.Rows) error {
			var phone uint64
			var id string
			err := rows.Scan(&phone, &id)
			if phone != 0 {
				phones = append(phones, leadevents.Phone(phone))
			} else {
				ids = append(ids, id)
			}
			return err
		})
		if err != nil {
			return err
		}
		for _, mode := range []string{"", string(audience.Include), string(audience.Exclude)} {
			p["mode"], p["hash"], p["leads"] = mode, hexOf(audience.HashLeads(mode, phones, ids)), strconv.Itoa(len(phones)+len(ids))
			err := db.silently(params(ctx, p), "ALTER TABLE sends UPDATE list_hash = unhex({hash:String}), list_leads = {leads:UInt64} WHERE "+ofOrganization+
				" AND (list_id = {list:UInt64} OR phones = {list:UInt64}) AND list_mode = {mode:String} AND list_leads != {leads:UInt64} SETTINGS mutations_sync = 2")
			if err != nil {
				return unavailable(fmt.Errorf("hash list %d anew: %w", list, err))
			}
		}
	}
	return nil
}

// BlankPhones takes the phones of entries out of the journal.
func (db *DB) BlankPhones(ctx context.Context, org leadevents.OrgID, entries []uint64) error {
	err := db.silently(params(ctx, ofEntries(org, entries)), "ALTER TABLE journal UPDATE phone = 0 WHERE "+ofOrganization+" AND entry IN {entries:Array(UInt64)} AND phone != 0 SETTINGS mutations_sync = 2")
	if err != nil {
		return unavailable(fmt.Errorf("take %d phones out of the journal: %w", len(entries), err))
	}
	return nil
}
