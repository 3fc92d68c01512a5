package httpserver

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"leadevents"
)

type picky string

func (p *picky) UnmarshalJSON(b []byte) error {
	if string(b) != `"good"` {
		return leadevents.Errorf(leadevents.InvalidRequest, "picky must be good")
	}
	*p = "good"
	return nil
}

type strictInput struct {
	Name    string            `json:"name"`
	Count   int32             `json:"count"`
	Org     uint64            `json:"org"`
	Ratio   float64           `json:"ratio"`
	On      bool              `json:"on"`
	At      time.Time         `json:"at"`
	Picky   picky             `json:"picky"`
	Filters []strictFilter    `json:"filters"`
	Labels  map[string]string `json:"labels"`
	Value   any               `json:"value"`
	Within  *strictFilter     `json:"within"`
}

type strictFilter struct {
	Minutes int `json:"minutes"`
}

func TestStrictJSON(t *testing.T) {
	long := strings.Repeat("n", 200)
	tests := []struct{ name, in, code, message string }{
		{"an empty object", `{}`, "", ""},
		{"every field", `{"name":"n","count":1,"org":18446744073709551615,"ratio":0.5,"on":true,"at":"2026-05-12T18:34:00+02:00","picky":"good","filters":[{"minutes":1}],"labels":{"a":"b"},"value":[1,"x"],"within":null}`, "", ""},
		{"space around it", " \t\r\n{} \n", "", ""},
		{"nothing", ``, "invalid_json", "the body is empty; it must be a JSON object"},
		{"only space", ` `, "invalid_json", "the body is empty; it must be a JSON object"},
		{"cut off", `{"name":"n`, "invalid_json", "the body is not valid JSON: "},
		{"cut off after a value", `{"name":"n"`, "invalid_json", "the body is not valid JSON: "},
		{"not JSON", `hello`, "invalid_json", "the body is not valid JSON: at byte 0: "},
		{"a trailing comma", `{"name":"n",}`, "invalid_json", "the body is not valid JSON: at byte 11: "},
		{"a comment", `{/**/}`, "invalid_json", "the body is not valid JSON: at byte 1: "},
		{"a byte order mark", "\ufeff{}", "invalid_json", "the body is not valid JSON: at byte 0: "},
		{"something after it", `{} {}`, "invalid_json", "the body is not valid JSON: at byte 3: "},
		{"invalid UTF-8", "{\"name\":\"\xff\"}", "invalid_json", "the body is not valid JSON: at byte 9: "},
		{"half a surrogate pair", `{"name":"\ud800"}`, "invalid_json", "the body is not valid JSON: at byte 9: "},
		{"a field twice", `{"name":"a","name":"b"}`, "invalid_json", "the field name is there twice"},
		{"a field twice, once escaped", `{"name":"a","\u006eame":"b"}`, "invalid_json", "the field name is there twice"},
		{"a nested field twice", `{"filters":[{"minutes":1,"minutes":1}]}`, "invalid_json", "the field filters[0].minutes is there twice"},
		{"an unknown field", `{"nme":"a"}`, "invalid_request", "the field nme is unknown"},
		{"a field in another case", `{"NAME":"a"}`, "invalid_request", "the field NAME is unknown"},
		{"an unknown nested field", `{"filters":[{},{"hours":1}]}`, "invalid_request", "the field filters[1].hours is unknown"},
		{"a long unknown field is cut", `{"` + long + `":1}`, "invalid_request", "the field " + long[:100] + "… is unknown"},
		{"null", `null`, "invalid_request", "the body must be a JSON object"},
		{"an array", `[]`, "invalid_request", "the body must be a JSON object"},
		{"a string", `"x"`, "invalid_request", "the body must be a JSON object"},
		{"a number for a string", `{"name":1}`, "invalid_request", "the field name must be a string"},
		{"a string for a number", `{"count":"1"}`, "invalid_request", "the field count must be an integer from -2147483648 to 2147483647"},
		{"a fraction for an integer", `{"count":1.5}`, "invalid_request", "the field count must be an integer from -2147483648 to 2147483647"},
		{"an integer out of range", `{"count":2147483648}`, "invalid_request", "the field count must be an integer from -2147483648 to 2147483647"},
		{"a negative organization", `{"org":-1}`, "invalid_request", "the field org must be an integer of at most 64 bits that is not negative"},
		{"a string for a bool", `{"on":"true"}`, "invalid_request", "the field on must be true or false"},
		{"a string for a float", `{"ratio":"1"}`, "invalid_request", "the field ratio must be a number"},
		{"a time without offset", `{"at":"2026-05-12T18:34:00"}`, "invalid_request", "the field at must be an RFC 3339 time with an offset"},
		{"a number for a time", `{"at":1}`, "invalid_request", "the field at must be an RFC 3339 time with an offset"},
		{"an object for an array", `{"filters":{}}`, "invalid_request", "the field filters must be an array"},
		{"an array for an object", `{"labels":[]}`, "invalid_request", "the field labels must be an object"},
		{"a number for a pointed-to object", `{"within":1}`, "invalid_request", "the field within must be an object"},
		{"a wrong nested type", `{"filters":[{"minutes":true}]}`, "invalid_request", "the field filters[0].minutes must be an integer of at most 64 bits"},
		{"a wrong map value", `{"labels":{"a":1}}`, "invalid_request", "the field labels.a must be a string"},
		{"a field's own error", `{"picky":"bad"}`, "invalid_request", "picky must be good"},
		{"10,001 levels", `{"value":` + strings.Repeat("[", 10_001), "invalid_json", "the body is not valid JSON: at byte "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var v strictInput
			err := UnmarshalStrict([]byte(tt.in), &v)
			if tt.code == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			e, ok := errors.AsType[*leadevents.Error](err)
			if !ok {
				t.Fatalf("got %v", err)
			}
			if e.Kind.Code() != tt.code || !strings.HasPrefix(e.Message, tt.message) {
				t.Errorf("got %s %q", e.Kind, e.Message)
			}
		})
	}
}

func TestReadJSONGoesThroughEveryCheck(t *testing.T) {
	f := start(t, nil, func(s *Server) {
		s.App().Post("/json", func(c *fiber.Ctx) error {
			var v strictInput
			if err := ReadJSON(c, 1000, &v); err != nil {
				return err
			}
			return c.JSON(v)
		})
	})
	a := f.send(t, "POST", "/json", strings.NewReader(`{"name":"größe"}`), "Content-Type: application/json; charset=UTF-8")
	var got struct {
		Name    string
		Filters []any
	}
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || got.Name != "größe" || got.Filters == nil {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a = f.send(t, "POST", "/json", strings.NewReader(string(gzipped(t, []byte(`{"name":"x"}`)))), "Content-Encoding: gzip"); a.status != 200 {
		t.Errorf("gzip: %d %s", a.status, a.body)
	}
	wantError(t, f.send(t, "POST", "/json", strings.NewReader(`{}`), "Content-Type: text/plain"), 415, "unsupported_media_type")
	wantError(t, f.send(t, "POST", "/json", strings.NewReader(strings.Repeat(" ", 1001))), 413, "body_too_large")
	wantError(t, f.send(t, "POST", "/json", strings.NewReader(`{"x":1}`)), 400, "invalid_request")
	wantError(t, f.send(t, "POST", "/json", nil), 400, "invalid_json")
}

func TestContentTypes(t *testing.T) {
	f := start(t, nil, func(s *Server) {
		reply := func(accepted ...string) fiber.Handler {
			return func(c *fiber.Ctx) error {
				m, err := CheckContentType(c, accepted...)
				if err != nil {
					return err
				}
				return c.SendString(m)
			}
		}
		s.App().Post("/json", reply())
		s.App().Post("/upload", reply("text/csv", "application/x-ndjson", "application/json"))
		s.App().Post("/checked", Precheck(10), func(c *fiber.Ctx) error { return c.SendString("passed") })
		s.App().Post("/unlimited", Precheck(NoLimit, "text/csv"), func(c *fiber.Ctx) error { return c.SendString("passed") })
	})
	tests := []struct{ path, contentType, want string }{
		{"/json", "", "application/json"},
		{"/json", "application/json", "application/json"},
		{"/json", "Application/JSON", "application/json"},
		{"/json", "application/json;charset=utf-8", "application/json"},
		{"/json", `application/json; charset="UTF-8"`, "application/json"},
		{"/json", "application/json; version=1", "application/json"},
		{"/json", "application/json; charset=latin1", "the charset in Content-Type must be utf-8"},
		{"/json", "text/csv", "Content-Type must be application/json"},
		{"/json", "application/x-www-form-urlencoded", "Content-Type must be application/json"},
		{"/json", "multipart/form-data; boundary=x", "Content-Type must be application/json"},
		{"/json", ";;;", "Content-Type is malformed; it must be application/json"},
		{"/upload", "text/CSV; header=present", "text/csv"},
		{"/upload", "", "application/json"},
		{"/upload", "text/html", "Content-Type must be text/csv, application/x-ndjson or application/json"},
		{"/unlimited", "text/csv", "passed"},
		{"/unlimited", "", "Content-Type must be text/csv"},
	}
	for _, tt := range tests {
		var headers []string
		if tt.contentType != "" {
			headers = append(headers, "Content-Type: "+tt.contentType)
		}
		a := f.send(t, "POST", tt.path, strings.NewReader("--x--\r\n"), headers...)
		got := a.body
		if a.status != 200 {
			wantError(t, a, 415, "unsupported_media_type")
			_, got = a.code(t)
		}
		if got != tt.want {
			t.Errorf("%s %q: %d %q", tt.path, tt.contentType, a.status, got)
		}
	}
	for _, tt := range []struct {
		headers []string
		size    int
		status  int
		code    string
	}{
		{nil, 10, 200, ""},
		{nil, 11, 413, "body_too_large"},
		{[]string{"Content-Type: text/csv"}, 11, 415, "unsupported_media_type"},
		{[]string{"Content-Encoding: br"}, 1, 415, "unsupported_media_type"},
	} {
		a := f.send(t, "POST", "/checked", strings.NewReader(strings.Repeat("x", tt.size)), tt.headers...)
		if tt.status == 200 {
			if a.status != 200 {
				t.Errorf("%d %s", a.status, a.body)
			}
			continue
		}
		wantError(t, a, tt.status, tt.code)
	}
}

// Large bodies are decoded one after the other; small ones pass them.
func TestLargeBodiesTakeTurns(t *testing.T) {
	leave, err := enterDecoding(decodingAtOnce)
	if err != nil {
		t.Fatal(err)
	}
	entered := make(chan error, 1)
	go func() {
		var v struct{ A string }
		entered <- UnmarshalStrict([]byte(`{"A":"`+strings.Repeat("x", decodingFree)+`"}`), &v)
	}()
	var small struct{ A string }
	if err := UnmarshalStrict([]byte(`{"A":"x"}`), &small); err != nil {
		t.Errorf("a small one: %v", err)
	}
	select {
	case err := <-entered:
		t.Errorf("a large one did not wait: %v", err)
	case <-time.After(50 * time.Millisecond): // it cannot come, however long one waits
	}
	leave()
	if err := <-entered; err != nil {
		t.Error(err)
	}
}
