package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
	"leadevents/configs"
	"leadevents/internal/storetest"
)

// document is openapi.yaml, checked against the specification; its examples
// against its schemas too.
func document(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(leadevents.OpenAPI)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestTheDocumentIsValid(t *testing.T) {
	if err := document(t).Validate(t.Context(), openapi3.DisableExamplesValidation()); err != nil {
		t.Fatal(err)
	}
}

// Every route is documented, and everything documented is a route.
func TestTheDocumentHasEveryRoute(t *testing.T) {
	front, err := newHTTP(configs.Defaults(), nil, quiet(), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	srv := &server{http: front, credentials: &Credentials{}}
	srv.route()
	var have, documented []string
	for _, route := range front.Routes() {
		have = append(have, route.OpenAPIPath()+" "+route.Method)
	}
	for path, item := range document(t).Paths.Map() {
		for method := range item.Operations() {
			documented = append(documented, path+" "+method)
		}
	}
	slices.Sort(have)
	slices.Sort(documented)
	if diff := gocmp.Diff(have, documented); diff != "" {
		t.Errorf("routes (-) and openapi.yaml (+) differ:\n%s", diff)
	}
}

// sender sends requests to a server as the document's examples say, and holds
// every answer to the document.
type sender struct {
	t      *testing.T
	base   string
	router routers.Router

	credentials map[string]func(http.Header, []byte)
	mu          sync.Mutex
	batch       string // the last batchId of organization 42 that an answer had
	// ids are those of what is made, for paths: firstKey, that of credential second,
	// and the last ones that answers had, apiKey and signingKey.
	ids map[string]string
}

// sending is the extension x-send of an example.
type sending struct {
	Query      string            `json:"query"`
	Headers    map[string]string `json:"headers"`
	Credential string            `json:"credential"`
	Body       string            `json:"body"`
	Path       map[string]string `json:"path"`
	Order      int               `json:"order"`
}

// answered is what came back.
type answered struct {
	status int
	header http.Header
	body   []byte
}

func newSender(t *testing.T) *sender {
	t.Helper()
	doc := document(t)
	doc.Servers = nil
	for _, mediaType := range []string{"application/x-ndjson", "application/vnd.apache.parquet", "application/vnd.apache.arrow.file", "text/csv"} {
		openapi3filter.RegisterBodyDecoder(mediaType, openapi3filter.PlainBodyDecoder)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &sender{t: t, router: router, ids: map[string]string{}, credentials: map[string]func(http.Header, []byte){
		"none": func(http.Header, []byte) {},
	}}
}

// send sends, and fails the test if the answer is not one that the document knows:
// its status, its media type, its schema.
func (s *sender) send(method, path string, body []byte, x sending) answered {
	s.t.Helper()
	address := s.base + path
	if x.Query != "" {
		address += "?" + x.Query
	}
	request, err := http.NewRequestWithContext(s.t.Context(), method, address, bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	if len(body) > 0 {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range x.Headers {
		request.Header.Set(name, value)
	}
	credential := x.Credential
	if credential == "" {
		credential = "apiKey"
	}
	prove, ok := s.credentials[credential]
	if !ok {
		s.t.Fatalf("the test has no credential %q", credential)
	}
	prove(request.Header, body)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	a := answered{status: response.StatusCode, header: response.Header}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		s.t.Fatal(err)
	}
	s.held(request, a)
	// A secret stands in the answer that makes it, and nowhere else.
	if a.status != http.StatusCreated && len(a.body) < 1<<20 {
		_, _ = storetest.Output("the answers in " + s.t.Name()).Write(a.body)
	}
	var made struct{ BatchID, ID, Key, Secret string }
	if json.Unmarshal(a.body, &made) == nil && made.BatchID != "" && credential == "apiKey" {
		s.mu.Lock()
		s.batch = made.BatchID
		s.mu.Unlock()
	}
	if json.Unmarshal(a.body, &made) == nil && a.status == http.StatusCreated && made.ID != "" {
		s.mu.Lock()
		if made.Key != "" {
			s.ids["apiKey"] = made.ID
		} else if made.Secret != "" {
			s.ids["signingKey"] = made.ID
		}
		s.mu.Unlock()
	}
	return a
}

// sendAgain sends again what is answered 503, which is always safe: on a machine
// that is busy with other tests a store may be too slow for once.
func (s *sender) sendAgain(method, path string, body []byte, x sending) (a answered) {
	s.t.Helper()
	eventually(s.t, "an answer other than 503 to "+method+" "+path, func() bool {
		a = s.send(method, path, body, x)
		return a.status != http.StatusServiceUnavailable
	})
	return a
}

func (s *sender) held(request *http.Request, a answered) {
	s.t.Helper()
	route, params, err := s.router.FindRoute(request)
	if err != nil {
		s.t.Fatalf("%s %s is not in openapi.yaml: %v", request.Method, request.URL.Path, err)
	}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: request, PathParams: params, Route: route},
		Status:                 a.status, Header: a.header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	input.SetBodyBytes(a.body)
	if err := openapi3filter.ValidateResponse(context.Background(), input); err != nil {
		s.t.Errorf("%s %s: the answer %d %.300s is not as documented: %v", request.Method, request.URL.Path, a.status, a.body, err)
	}
	if a.header.Get("X-Request-Id") == "" {
		s.t.Errorf("%s %s: an answer without X-Request-Id", request.Method, request.URL.Path)
	}
}

// bodies are what examples send that is too large or too broken for the page.
var bodies = map[string][]byte{
	"truncated": []byte(`{"organizationId": 42, "events": [`),
	"tooLarge":  bytes.Repeat([]byte(" "), 10<<20+1),
}

var (
	batchInText = regexp.MustCompile(`\(batch [0-9]+\)`)
	keyInText   = regexp.MustCompile(`API key [0-9A-Za-z]{10} `)
)

// made are the fields that no page can know.
var made = []string{"batchId", "requestId", "materializedAt", "asOf", "id", "key", "prefix", "secret", "createdAt", "revokedAt", "lastUsedAt", "uses", "at", "objectId", "nextCursor", "elapsed", "rows_read", "bytes_read", "ingestedAt",
	"requestedAt", "erasedAt", "verifiedAt", "goneFromDiskAt", "goneFromDiskBy", "allowedAt"}

// comparable is an answer without what no page can know: ids that are made.
func comparable(t *testing.T, value any) any {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(text, &plain); err != nil {
		t.Fatal(err)
	}
	var hide func(v any)
	hide = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, inner := range v {
				if text, ok := inner.(string); ok && text != "" {
					v[name] = keyInText.ReplaceAllString(batchInText.ReplaceAllString(text, "(batch)"), "(key) ")
				}
				if slices.Contains(made, name) && inner != nil && inner != "" && inner != 0.0 {
					v[name] = "(made)"
				}
				hide(inner)
			}
		case []any:
			for _, inner := range v {
				hide(inner)
			}
		}
	}
	hide(plain)
	return plain
}

// Every request example is sent; the answer is the example of the same name.
// Every answer example is the answer to one.
func TestTheDocumentsExamplesAreTrue(t *testing.T) {
	s, from := storeSettings(t), newSender(t)
	prove(t, &s, from)
	var stop func()
	from.base, stop = startServe(t, s, &logOf{})
	defer stop()

	for _, e := range exchanges(t) {
		t.Run(e.method+" "+e.path+" "+e.name, func(t *testing.T) { e.hold(t, from) })
	}
}

// exchange is an example of a request with the example of its answer.
type exchange struct {
	method, path, name string
	body               any // nil: sent without
	mediaType          string
	x                  sending
	status             string
	want               any
}

// exchanges are all of the document, in the order in which they are to be sent.
func exchanges(t *testing.T) (all []exchange) {
	t.Helper()
	for path, item := range document(t).Paths.Map() {
		for method, operation := range item.Operations() {
			all = append(all, exchangesOf(t, method, path, operation)...)
		}
	}
	slices.SortFunc(all, func(a, b exchange) int {
		return cmp.Or(a.x.Order-b.x.Order, strings.Compare(a.path+a.method, b.path+b.method), strings.Compare(a.name, b.name))
	})
	return all
}

func exchangesOf(t *testing.T, method, path string, operation *openapi3.Operation) (all []exchange) {
	t.Helper()
	requests, mediaTypes := map[string]*openapi3.Example{}, map[string]string{}
	if operation.RequestBody != nil {
		for mediaType, media := range operation.RequestBody.Value.Content {
			for name, example := range media.Examples {
				if requests[name] != nil {
					t.Errorf("%s %s: two request examples are called %s", method, path, name)
				}
				requests[name], mediaTypes[name] = example.Value, mediaType
			}
		}
	}
	order := 30
	switch {
	case operation.RequestBody != nil:
		order = 10
	case method == http.MethodDelete:
		order = 90
	}
	names := map[string]string{}
	for _, p := range operation.Parameters {
		if p.Value.In == "path" {
			names[p.Value.Name] = "{" + p.Value.Name + "}"
			if p.Value.Example != nil {
				names[p.Value.Name] = fmt.Sprint(p.Value.Example)
			}
		}
	}
	for status, response := range operation.Responses.Map() {
		for _, media := range response.Value.Content {
			for name, answer := range media.Examples {
				e := exchange{method: method, name: name, status: status, want: answer.Value.Value, x: sending{Order: order}}
				with := answer.Value
				if operation.RequestBody != nil {
					if with = requests[name]; with == nil {
						t.Errorf("%s %s: the answer %s has no request of that name", method, path, name)
						continue
					}
					e.body, e.mediaType = with.Value, mediaTypes[name]
					delete(requests, name)
				}
				if extension, ok := with.Extensions["x-send"]; ok {
					text, _ := json.Marshal(extension)
					decoder := json.NewDecoder(bytes.NewReader(text))
					decoder.DisallowUnknownFields()
					if err := decoder.Decode(&e.x); err != nil {
						t.Fatalf("%s: x-send: %v", name, err)
					}
				}
				e.path = path
				for parameter, value := range names {
					e.path = strings.ReplaceAll(e.path, "{"+parameter+"}", cmp.Or(e.x.Path[parameter], value))
				}
				all = append(all, e)
			}
		}
	}
	for name := range requests {
		t.Errorf("%s %s: the request %s has no answer of that name", method, path, name)
	}
	if len(all) == 0 && operation.RequestBody == nil { // documented by schema alone
		e := exchange{method: method, path: path, x: sending{Order: order}}
		for parameter, value := range names {
			e.path = strings.ReplaceAll(e.path, "{"+parameter+"}", value)
		}
		all = append(all, e)
	}
	return all
}

// filled is a path with the ids of what was made in the place of {batchId} and of
// the names in ids.
func (s *sender) filled(path string) string {
	path = strings.ReplaceAll(path, "{batchId}", s.batch)
	for name, id := range s.ids {
		path = strings.ReplaceAll(path, "{"+name+"}", id)
	}
	return path
}

// hold sends the request and holds the answer to its example.
func (e *exchange) hold(t *testing.T, from *sender) {
	body, known := bodies[e.x.Body]
	if e.x.Body != "" && !known {
		t.Fatalf("the test has no body %q", e.x.Body)
	}
	if e.x.Body == "" && e.body != nil {
		if text, plain := e.body.(string); plain && e.mediaType != "application/json" {
			body = []byte(text)
		} else {
			body, _ = json.Marshal(e.body)
		}
		if e.x.Headers["Content-Type"] == "" {
			headers := map[string]string{"Content-Type": e.mediaType}
			maps.Copy(headers, e.x.Headers)
			e.x.Headers = headers
		}
	}
	got := from.send(e.method, from.filled(e.path), body, e.x)
	if fmt.Sprint(got.status) != e.status && (e.status != "" || got.status/100 != 2) {
		t.Fatalf("%d %s; want %s", got.status, got.body, cmp.Or(e.status, "2xx"))
	}
	if e.want == nil {
		return
	}
	if text, plain := e.want.(string); plain {
		if string(got.body) != text {
			t.Errorf("answered\n%s\nthe document says\n%s", got.body, text)
		}
		return
	}
	var value any
	if err := json.Unmarshal(got.body, &value); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(comparable(t, e.want), comparable(t, value)); diff != "" {
		t.Errorf("the document (-) and the answer (+) differ:\n%s", diff)
	}
}

// Every documented status but those of faults is the answer to an example.
func TestTheDocumentsStatusesHaveExamples(t *testing.T) {
	for path, item := range document(t).Paths.Map() {
		for method, operation := range item.Operations() {
			if operation.RequestBody == nil {
				continue
			}
			for status, response := range operation.Responses.Map() {
				if strings.HasPrefix(status, "5") || status == "408" { // a 408 takes half a minute; httpserver's tests have it
					continue
				}
				if status == "422" { // what takes too much time or memory; clickhouse's tests have it
					continue
				}
				if status == "429" || status == "409" && strings.HasSuffix(path, "/leads") { // limits would refuse the other examples; limits_test.go has both
					continue
				}
				if status == "409" && (path == "/api/v1/api-keys" || path == "/api/v1/signing-keys") { // thousands of keys; auth's tests have it
					continue
				}
				examples := 0
				for _, media := range response.Value.Content {
					examples += len(media.Examples)
				}
				if examples == 0 {
					t.Errorf("%s %s: the answer %s has no example", method, path, status)
				}
			}
		}
	}
}
