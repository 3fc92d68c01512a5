package ingest

import (
	"strings"
	"testing"

	"leadevents"
)

func TestLookupOrganization(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want leadevents.OrgID // 0: not found
	}{
		"first":                                {`{"organizationId":42,"events":[]}`, 42},
		"after events":                         {` { "events" : [ {"a":"}],\"]"} , [[{}]] , -1.5e3 ] , "organizationId" : 42 } `, 42},
		"after a string of brackets":           {`{"a":"\\","b":"\\\"}{","organizationId":7}`, 7},
		"not the one of an event":              {`{"events":[{"organizationId":1},{"x":{"organizationId":2}}],"organizationId":3}`, 3},
		"not the one in a text":                {`{"a":"\"organizationId\":1,","organizationId":3}`, 3},
		"only that of an event":                {`{"events":[{"organizationId":1}]}`, 0},
		"escaped name":                         {`{"organization\u0049d":5}`, 5},
		"other case":                           {`{"organizationID":5}`, 0},
		"the rest is broken":                   {`{"organizationId":42,"events":[{"phoneE1`, 42},
		"the rest is not UTF-8":                {"{\"organizationId\":42,\"eventType\":\"\xff", 42},
		"ends after the number":                {`{"organizationId":42`, 42},
		"twice: the first":                     {`{"organizationId":42,"organizationId":43}`, 42},
		"largest":                              {`{"organizationId":9223372036854775807}`, 9223372036854775807},
		"one more":                             {`{"organizationId":9223372036854775808}`, 0},
		"20 digits":                            {`{"organizationId":18446744073709551617}`, 0},
		"zero":                                 {`{"organizationId":0}`, 0},
		"negative":                             {`{"organizationId":-1}`, 0},
		"leading zero":                         {`{"organizationId":01}`, 0},
		"fraction":                             {`{"organizationId":1.0}`, 0},
		"exponent":                             {`{"organizationId":1e0}`, 0},
		"text":                                 {`{"organizationId":"1"}`, 0},
		"null":                                 {`{"organizationId":null}`, 0},
		"nothing after the colon":              {`{"organizationId":`, 0},
		"no colon":                             {`{"organizationId"`, 0},
		"missing":                              {`{"eventType":"a"}`, 0},
		"empty object":                         {`{}`, 0},
		"empty body":                           {``, 0},
		"an array":                             {`[{"organizationId":1}]`, 0},
		"a byte order mark":                    {"\ufeff{\"organizationId\":1}", 0},
		"unbalanced before it":                 {`{"a":]},"organizationId":1}`, 0},
		"open text before it":                  {`{"a":"b,"organizationId":1}`, 0},
		"ten million brackets before it, open": {`{"a":` + strings.Repeat("[", 10_000_000), 0},
	} {
		t.Run(name, func(t *testing.T) {
			body := []byte(c.body)
			got, ok := LookupOrganization(body)
			if ok != (c.want != 0) || got != c.want {
				t.Errorf("LookupOrganization = %d, %v; want %d", got, ok, c.want)
			}
			if n := testing.AllocsPerRun(10, func() { LookupOrganization(body) }); n != 0 && len(body) < 1000 {
				t.Errorf("LookupOrganization allocates %v times", n)
			}
		})
	}
}

// FuzzLookupOrganization: never another organization than the one Decode
// takes, whatever is put before, between and after the fields.
func FuzzLookupOrganization(f *testing.F) {
	f.Add([]byte(`{"organizationId":42,"eventType":"a","events":[{}]}`))
	f.Add([]byte(`{"events":[{"organizationId":1},"\\\"]}"],"x":[{"y":-1.5}],"eventType":"a","organizationId":42}`))
	f.Add([]byte(`"x":{"organizationId":1},`))
	f.Add([]byte(`"\u006frganizationId":1,`))
	var d Decoder
	f.Fuzz(func(t *testing.T, piece []byte) {
		for _, body := range []string{
			string(piece),
			`{` + string(piece) + `"organizationId":42,"eventType":"a","events":[1]}`,
			`{"events":[` + string(piece) + `],"eventType":"a","organizationId":42}`,
			`{"eventType":` + string(piece) + `,"events":[1],"organizationId":42}`,
		} {
			org, ok := LookupOrganization([]byte(body))
			request, err := d.Decode([]byte(body))
			if err == nil && (!ok || org != request.Org) {
				t.Fatalf("LookupOrganization = %d, %v; Decode has %d\nbody: %q", org, ok, request.Org, body)
			}
		}
	})
}
