package app

import (
	"bytes"
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
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"leadevents"
	"leadevents/configs"
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
	front, err := newHTTP(configs.Defaults(), quiet(), prometheus.NewRegistry())
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
	if diff := cmp.Diff(have, documented); diff != "" {
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
}

// sending is the extension x-send of an example.
type sending struct {
	Query      string            `json:"query"`
	Headers    map[string]string `json:"headers"`
	Credential string            `json:"credential"`
	Body       string            `json:"body"`
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
	openapi3filter.RegisterBodyDecoder("application/x-ndjson", openapi3filter.PlainBodyDecoder)
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &sender{t: t, router: router, credentials: map[string]func(http.Header, []byte){
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
	var made struct{ BatchID string }
	if json.Unmarshal(a.body, &made) == nil && made.BatchID != "" && credential == "apiKey" {
		s.mu.Lock()
		s.batch = made.BatchID
		s.mu.Unlock()
	}
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

var batchInText = regexp.MustCompile(`\(batch [0-9]+\)`)

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
					v[name] = batchInText.ReplaceAllString(text, "(batch)")
					if name == "batchId" || name == "requestId" {
						v[name] = "(made)"
					}
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

	// What stores comes before what reads it, and what deletes is last.
	paths := document(t).Paths.Map()
	for _, methods := range [][]string{{"POST", "PUT"}, {"GET"}, {"DELETE"}} {
		for _, path := range slices.Sorted(maps.Keys(paths)) {
			for _, method := range methods {
				if operation := paths[path].GetOperation(method); operation != nil {
					t.Run(method+" "+path, func(t *testing.T) { exchange(t, from, method, path, operation) })
				}
			}
		}
	}
}

// asked is a request example and what it is sent as.
type asked struct {
	*openapi3.Example
	mediaType string
}

// body is the example as bytes.
func (a asked) body(t *testing.T) []byte {
	if text, ok := a.Value.(string); ok && a.mediaType != "application/json" {
		return []byte(text)
	}
	body, err := json.Marshal(a.Value)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func exchange(t *testing.T, from *sender, method, path string, operation *openapi3.Operation) {
	path = strings.NewReplacer("{batchId}", from.batch, "{audienceId}", "customers").Replace(path)
	requests := map[string]asked{}
	if operation.RequestBody != nil {
		for mediaType, media := range operation.RequestBody.Value.Content {
			for name, example := range media.Examples {
				if _, twice := requests[name]; twice {
					t.Errorf("two request examples are called %s", name)
				}
				requests[name] = asked{example.Value, mediaType}
			}
		}
	}
	type answer struct {
		status string
		value  any
	}
	answers := map[string]answer{}
	for status, response := range operation.Responses.Map() {
		for _, media := range response.Value.Content {
			for name, example := range media.Examples {
				answers[name] = answer{status, example.Value.Value}
			}
		}
	}
	if operation.RequestBody == nil { // what needs no body has answers alone
		for name := range answers {
			requests[name] = asked{Example: &openapi3.Example{}}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		want, ok := answers[name]
		if !ok {
			t.Errorf("the request %s has no answer of that name", name)
			continue
		}
		delete(answers, name)
		var x sending
		if extension, ok := requests[name].Extensions["x-send"]; ok {
			text, _ := json.Marshal(extension)
			decoder := json.NewDecoder(bytes.NewReader(text))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(&x); err != nil {
				t.Fatalf("%s: x-send: %v", name, err)
			}
		}
		body, known := bodies[x.Body]
		if x.Body != "" && !known {
			t.Fatalf("%s: the test has no body %q", name, x.Body)
		}
		if x.Body == "" && operation.RequestBody != nil {
			body = requests[name].body(t)
			if x.Headers["Content-Type"] == "" {
				x.Headers = maps.Clone(x.Headers)
				if x.Headers == nil {
					x.Headers = map[string]string{}
				}
				x.Headers["Content-Type"] = requests[name].mediaType
			}
		}
		got := from.send(method, path, body, x)
		if fmt.Sprint(got.status) != want.status {
			t.Errorf("%s: %d %s; want %s", name, got.status, got.body, want.status)
			continue
		}
		var value any
		if err := json.Unmarshal(got.body, &value); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(comparable(t, want.value), comparable(t, value)); diff != "" {
			t.Errorf("%s: the document (-) and the answer (+) differ:\n%s", name, diff)
		}
	}
	for name := range answers {
		t.Errorf("the answer %s has no request of that name", name)
	}
	if operation.RequestBody == nil && len(requests) == 0 { // documented by schema alone
		if got := from.send(method, path, nil, sending{}); got.status/100 != 2 {
			t.Errorf("%d %s", got.status, got.body)
		}
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
