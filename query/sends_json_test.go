package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"unicode/utf8"

	"leadevents"
	"leadevents/internal/httpserver"
	"leadevents/query/audience"
)

// refused fails unless a refusal is one that clients are told of, in UTF-8.
func refused(t *testing.T, err error) {
	t.Helper()
	var e *leadevents.Error
	if !errors.As(err, &e) || (e.Kind != leadevents.InvalidRequest && e.Kind != leadevents.InvalidJSON) {
		t.Fatalf("%v is no refusal", err)
	}
	if !utf8.ValidString(e.Message) {
		t.Fatalf("the message is not UTF-8: %q", e.Message)
	}
}

// FuzzListFilterJSON: no body of a list filter panics, and an accepted one is what
// encoding/json reads too, in any order of its leads.
func FuzzListFilterJSON(f *testing.F) {
	for _, seed := range []string{
		`{"organizationId":42,"campaignId":"c","sendId":"s","mode":"include","leads":[{"externalId":"a"},{"phoneE164":"+15551234567"}]}`,
		`{"organizationId":42,"sendId":"s","mode":"exclude","leads":[]}`, `{"organizationId":42,"sendId":"s","mode":"exclude","leads":null}`,
		`{"organizationId":"42","sendId":"s/t","mode":"both","leads":[{}]}`, `{"organizationId":18446744073709551616}`, `[]`, `null`, `{`,
		`{"organizationId":1e2,"sendId":"s","mode":"include","leads":[{"externalId":"\ud83d"},{"externalId":"\u0000","phoneE164":null}]}`,
		`{"organizationId":42,"sendId":"s","mode":"include","mode":"exclude","leads":[{"externalId":"é"},{"externalId":"é"},{"externalId":"É"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in listJSON
		if err := httpserver.UnmarshalStrict(body, &in); err != nil {
			refused(t, err)
			return
		}
		mode, leads, err := in.read()
		if err != nil {
			refused(t, err)
			return
		}
		var loose struct {
			OrganizationID uint64
			SendID         string
			Mode           audience.Mode
			Leads          []struct{ ExternalID, PhoneE164 *string }
		}
		if err := json.Unmarshal(body, &loose); err != nil {
			t.Fatalf("accepted, but encoding/json says %v", err)
		}
		if loose.OrganizationID != uint64(*in.OrganizationID) || loose.SendID != *in.SendID || loose.Mode != mode || len(loose.Leads) != len(leads.Phones)+len(leads.ExternalIDs) {
			t.Fatalf("read %s %+v of %+v", mode, leads, loose)
		}
		var ids []string
		for _, l := range loose.Leads {
			if l.ExternalID != nil {
				ids = append(ids, *l.ExternalID)
			}
		}
		if !slices.Equal(ids, leads.ExternalIDs) {
			t.Fatalf("externalIds %q, want %q", leads.ExternalIDs, ids)
		}
		backwards := ListedLeads{Phones: slices.Clone(leads.Phones), ExternalIDs: slices.Clone(leads.ExternalIDs)}
		slices.Reverse(backwards.Phones)
		slices.Reverse(backwards.ExternalIDs)
		leads.normalize()
		backwards.normalize()
		if audience.HashLeads(string(mode), leads.Phones, leads.ExternalIDs) != audience.HashLeads(string(mode), backwards.Phones, backwards.ExternalIDs) {
			t.Fatal("the order of leads counts")
		}
	})
}

// FuzzDefinitionJSON: no definition panics, and an accepted one is the same when it
// is written and read again, as a send's log does.
func FuzzDefinitionJSON(f *testing.F) {
	for _, seed := range []string{
		`{"audience":{"all":true},"eventFilters":[]}`, `{"campaignId":"c","audience":{"audienceId":"a"},"eventFilters":[{"mode":"include","eventType":"a"}],"fireAt":"2026-05-12T18:54:00.001+02:00"}`,
		`{"audience":{"phones":["+15551234567"]},"eventFilters":[]}`, `{"audience":{"eventType":"a"},"eventFilters":null,"fireAt":"1970-01-01T00:00:00Z"}`,
		`{"audience":{},"eventFilters":[],"fireAt":"9999-12-31T23:59:60Z"}`, `{"campaignId":"","audience":[],"eventFilters":{}}`, `{"audience":{"all":true},"eventFilters":[],"x":1}`, `0`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in definitionJSON
		err := httpserver.UnmarshalStrict(body, &in)
		var d audience.Definition
		if err == nil {
			d, err = in.definition()
		}
		if err != nil {
			refused(t, err)
			return
		}
		if d.FireAt < 0 || d.FireAt > leadevents.MaxOccurredAt || len(d.Filters) > audience.MaxFilters {
			t.Fatalf("accepted %+v", d)
		}
		written := d.Audience.AppendJSON(nil)
		again := audience.Definition{CampaignID: d.CampaignID, FireAt: d.FireAt}
		if again.Audience, err = audience.DecodeReference(written, "audience"); err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if again.Filters, err = audience.DecodeFilters(audience.AppendFilters(nil, d.Filters), "eventFilters"); err != nil {
			t.Fatal(err)
		}
		if !d.Equal(&again) || !bytes.Equal(again.Audience.AppendJSON(nil), written) {
			t.Fatalf("%+v is read as %+v", d, again)
		}
	})
}
