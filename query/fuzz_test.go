package query

import (
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
	"time"

	"leadevents"
	"leadevents/audit"
	"leadevents/auth"
	"leadevents/query/audience"
)

// FuzzCursors: a cursor leads to a place in its own list and organization or nowhere,
// and what is read of it is what its own spelling says.
func FuzzCursors(f *testing.F) {
	for _, seed := range []string{
		"", "x", batchCursor(42, leadevents.BatchPosition{CreatedAt: 1, Batch: 7}), auditCursor(42, audit.Position{At: 1, ID: 7}), writeCursor("a1", 42, "customers"),
		batchCursor(43, leadevents.BatchPosition{CreatedAt: 1, Batch: 7}), writeCursor("b1", 42, "-1.7"), writeCursor("b1", 42, "1"), writeCursor("l1", 42, "1.-7"), writeCursor("l1", 42, "99999999999999999.1"), writeCursor("a1", 42, "\x00'"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, cursor string) {
		owners := 0
		for _, org := range []leadevents.OrgID{4, 42, 43, 424} {
			batch, err := parseBatchCursor(org, cursor)
			if err == nil {
				owners++
				if again, err := parseBatchCursor(org, batchCursor(org, batch)); err != nil || again != batch || batch.Batch == 0 || batch.CreatedAt < 0 {
					t.Fatalf("%+v, again %+v, %v", batch, again, err)
				}
			}
			entry, err := parseAuditCursor(org, cursor)
			if err == nil {
				owners++
				if again, err := parseAuditCursor(org, auditCursor(org, entry)); err != nil || again != entry || entry.At <= 0 {
					t.Fatalf("%+v, again %+v, %v", entry, again, err)
				}
			} else if leadevents.KindOf(err) != leadevents.InvalidRequest {
				t.Fatal(err)
			}
			after, err := readCursor("a1", org, cursor)
			if err == nil {
				owners++
				if again, err := readCursor("a1", org, writeCursor("a1", org, after)); err != nil || again != after {
					t.Fatalf("%q, again %q, %v", after, again, err)
				}
			}
		}
		if owners > 1 {
			t.Fatalf("%q is a cursor of %d lists", cursor, owners)
		}
	})
}

var idShape = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// FuzzPathIDs: what is taken for an id of an audience, a send or a batch is spelled in
// one way alone.
func FuzzPathIDs(f *testing.F) {
	for _, seed := range []string{"customers", "", ".", "..", "a/b", "é", strings.Repeat("x", 64), strings.Repeat("x", 65), "a\x00", "9223372036854775807", "9223372036854775808", "007", "+7", "0x7", "1_000"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := audience.ValidateID(text, "audienceId"); (err == nil) != idShape.MatchString(text) {
			t.Fatalf("%q: %v", text, err)
		} else if err != nil && leadevents.KindOf(err) != leadevents.InvalidRequest {
			t.Fatal(err)
		}
		if batch, err := leadevents.ParseBatchID(text); err == nil && (batch == 0 || batch.String() != text) {
			t.Fatalf("%q is batch %d", text, batch)
		}
	})
}

// FuzzListParameters: what filters of lists are made of is in range, or a refusal.
func FuzzListParameters(f *testing.F) {
	f.Add("2026-05-12T18:34:00Z", "2026-05-12T18:34:00+02:00", "100", "api_key.create", "operator", strings.Repeat("0f", 16))
	f.Add("", "", "", "", "", "")
	f.Add("yesterday", "1970-01-01T00:00:00Z", "0", "x", strings.Repeat("x", 301), strings.Repeat("0F", 32))
	f.Add("2100-01-01T00:00:00Z", "0", "1e3", "send.export\x00", "' OR 1 --", "zz")
	f.Fuzz(func(t *testing.T, from, to, most, action, actor, hash string) {
		if which, err := ParseAuditFilter(from, to, action, actor); err == nil {
			if which.From < 0 || which.From > leadevents.MaxOccurredAt || which.To < 0 || (to != "") != (which.To != 0) || which.Actor != actor || string(which.Action) != action {
				t.Fatalf("%+v", which)
			}
			if at, err := time.Parse(time.RFC3339, strings.ToUpper(from)); from != "" && (err != nil || leadevents.MillisOf(at) != which.From) {
				t.Fatalf("%q is %s, time.Parse says %s, %v", from, which.From, at, err)
			}
		} else if leadevents.KindOf(err) != leadevents.InvalidRequest {
			t.Fatal(err)
		}
		if n, err := limit(auth.Asker{Parameters: map[string]string{"limit": most}}, 7, 1000); err == nil && (n < 1 || n > 1000 || most == "" && n != 7) {
			t.Fatalf("limit=%q is %d", most, n)
		} else if err != nil && leadevents.KindOf(err) != leadevents.InvalidRequest {
			t.Fatal(err)
		}
		if sum, err := ParseBodyHash(hash); err == nil && !strings.EqualFold(hex.EncodeToString(sum[:]), hash[:32]) {
			t.Fatalf("%q is %x", hash, sum)
		} else if err != nil && leadevents.KindOf(err) != leadevents.InvalidRequest {
			t.Fatal(err)
		}
	})
}
