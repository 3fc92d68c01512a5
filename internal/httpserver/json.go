package httpserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v2"
	"golang.org/x/sync/semaphore"

	"leadevents"
)

// ReadJSON reads the body, up to limit bytes as sent and decompressed, into v,
// a pointer to a struct. It is strict: one JSON object in UTF-8 and nothing
// after it, no name twice (400 invalid_json); no field that v does not have,
// names in their exact case, every value of its type (400 invalid_request
// naming the field). Which fields must be there is the handler's to say. Its
// other errors are those of [ReadBody] and [CheckContentType]. Nothing in v
// refers to the body afterwards.
func ReadJSON(c *fiber.Ctx, limit int, v any) error {
	if _, err := CheckContentType(c); err != nil {
		return err
	}
	body, err := ReadBody(c, limit)
	if err != nil {
		return err
	}
	defer body.Release()
	plain, err := body.Decoded(limit)
	if err != nil {
		return err
	}
	return UnmarshalStrict(plain, v)
}

// UnmarshalStrict is what ReadJSON does with a body's bytes.
func UnmarshalStrict(data []byte, v any) error {
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	if len(trimmed) == 0 {
		return leadevents.Errorf(leadevents.InvalidJSON, "the body is empty; it must be a JSON object")
	}
	leave, err := enterDecoding(len(data))
	if err != nil {
		return err
	}
	defer leave()
	err = json.Unmarshal(data, v, json.RejectUnknownMembers(true))
	if err == nil && trimmed[0] != '{' { // null reads into anything
		err = leadevents.Errorf(leadevents.InvalidRequest, "the body must be a JSON object")
	}
	return explainJSON(err)
}

// What is decoded at once. Ten megabytes of JSON may become 300 of Go (three million
// empty objects; names that are compared with each other), whoever sent them, so
// large bodies take turns; small ones, which are nearly all, need no turn.
const (
	decodingAtOnce = 16 << 20
	decodingFree   = 64 << 10
	decodingWait   = 10 * time.Second // a large one takes up to three seconds
)

var decoding = semaphore.NewWeighted(decodingAtOnce)

// enterDecoding waits for a turn; leave gives it on.
func enterDecoding(size int) (leave func(), err error) {
	if size <= decodingFree {
		return func() {}, nil
	}
	weight := int64(min(size, decodingAtOnce))
	ctx, cancel := context.WithTimeout(context.Background(), decodingWait)
	defer cancel()
	if err := decoding.Acquire(ctx, weight); err != nil {
		return nil, leadevents.Wrap(leadevents.Unavailable, err, "the server is reading other large bodies of JSON (%d MiB at once); send the same request again in a moment", decodingAtOnce>>20)
	}
	return func() { decoding.Release(weight) }, nil
}

// explainJSON turns the decoder's error into the contract's.
func explainJSON(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*leadevents.Error](err); ok { // from a field's own UnmarshalJSON
		return e
	}
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return leadevents.Wrap(leadevents.InvalidJSON, err, "the field %s is there twice", fieldName(syntax.JSONPointer))
		}
		return leadevents.Wrap(leadevents.InvalidJSON, err, "the body is not valid JSON: at byte %d: %s", syntax.ByteOffset, syntaxReason(syntax.Err))
	}
	semantic, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return leadevents.Wrap(leadevents.InvalidJSON, err, "the body is not valid JSON: it ends too early")
	}
	field := fieldName(semantic.JSONPointer)
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return leadevents.Wrap(leadevents.InvalidRequest, err, "the field %s is unknown", field)
	case field == "":
		return leadevents.Wrap(leadevents.InvalidRequest, err, "the body must be a JSON object")
	default:
		return leadevents.Wrap(leadevents.InvalidRequest, err, "the field %s must be %s", field, typeName(semantic.GoType))
	}
}

// syntaxReason is the decoder's reason without its package's name; it quotes
// at most a character or two of the body.
func syntaxReason(err error) string {
	if err == nil {
		return "malformed"
	}
	return strings.TrimPrefix(err.Error(), "jsontext: ")
}

// maxFieldName cuts names that clients make up.
const maxFieldName = 100

// fieldName spells a JSON pointer the way people do: eventFilters[0].minCount.
func fieldName(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		if _, err := strconv.ParseUint(token, 10, 32); err == nil && b.Len() > 0 {
			fmt.Fprintf(&b, "[%s]", token)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(token)
	}
	return cut(b.String(), maxFieldName)
}

// cut is s, or its first n characters and an ellipsis.
func cut(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i] + "…"
		}
		n--
	}
	return s
}

// typeName is what a client should have sent.
func typeName(t reflect.Type) string {
	if t == nil {
		return "of another type"
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.PkgPath() == "time" && t.Name() == "Time" {
		return "an RFC 3339 time with an offset"
	}
	switch t.Kind() {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	// The range of 64 bits is the type's, and no field's: it would contradict what the field's own check says.
	case reflect.Uint, reflect.Uint64:
		return "an integer of at most 64 bits that is not negative"
	case reflect.Int, reflect.Int64:
		return "an integer of at most 64 bits"
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return fmt.Sprintf("an integer from 0 to %d", uint64(1)<<(t.Bits()-1)<<1-1)
	case reflect.Int8, reflect.Int16, reflect.Int32:
		return fmt.Sprintf("an integer from %d to %d", int64(-1)<<(t.Bits()-1), uint64(1)<<(t.Bits()-1)-1)
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Map, reflect.Struct:
		return "an object"
	default:
		return "of another type"
	}
}

// Param is the path parameter name, unescaped and copied: "%2B15551234567"
// and "+15551234567" are the same. Routing happens before, so an escaped
// slash does not split a path.
func Param(c *fiber.Ctx, name string) (string, error) {
	v, err := url.PathUnescape(c.Params(name))
	if err != nil {
		return "", leadevents.Errorf(leadevents.InvalidRequest, "%s in the path is not correctly percent-encoded", name)
	}
	return strings.Clone(v), nil
}
