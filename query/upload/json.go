package upload

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"leadevents"
)

// object reads leads that are JSON values; it keeps the buffers of one.
type object struct {
	phone, id []byte
}

// read reads the value that d stands before as a lead. Its errors are d's, or
// refuse the upload for a field that no lead has.
func (o *object) read(d *jsontext.Decoder, lead *Lead) error {
	*lead = Lead{}
	if d.PeekKind() != '{' {
		lead.NoObject = true
		return d.SkipValue()
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		switch field := name.String(); field {
		case "phoneE164":
			if o.phone, lead.HasPhone, err = text(o.phone[:0], d); err != nil {
				return err
			}
			lead.Phone = o.phone
		case "externalId":
			if d.PeekKind() == 'n' {
				err = d.SkipValue()
			} else {
				var isText bool
				o.id, isText, err = text(o.id[:0], d)
				lead.ExternalID, lead.OtherID = o.id, !isText
			}
			if err != nil {
				return err
			}
		default:
			return leadevents.Errorf(leadevents.InvalidRequest, "the field %s is unknown; a lead has phoneE164 and externalId", shown([]byte(field)))
		}
	}
	_, err := d.ReadToken()
	return err
}

// text appends the text of the string that d stands before; false, and nothing,
// if it is something else.
func text(dst []byte, d *jsontext.Decoder) ([]byte, bool, error) {
	if d.PeekKind() != '"' {
		return dst, false, d.SkipValue()
	}
	value, err := d.ReadValue()
	if err != nil {
		return dst, false, err
	}
	dst, err = jsontext.AppendUnquote(dst, value)
	return dst, true, err
}

// ndjsonReader reads an object a line.
type ndjsonReader struct {
	lines   lines
	line    bytes.Buffer
	decoder jsontext.Decoder
	object  object
}

func newNDJSON(body io.Reader) *ndjsonReader { return &ndjsonReader{lines: newLines(body)} }

// Next implements Reader.
func (r *ndjsonReader) Next(lead *Lead) error {
	line, err := r.lines.next()
	for err == nil && blank(line) {
		line, err = r.lines.next()
	}
	if err != nil {
		return err
	}
	r.line = *bytes.NewBuffer(line)
	r.decoder.Reset(&r.line)
	if err = r.object.read(&r.decoder, lead); err == nil {
		_, err = r.decoder.ReadToken()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = leadevents.Errorf(leadevents.InvalidJSON, "something follows its object")
		}
	}
	return explain(fmt.Sprintf("line %d", r.lines.number), "the line", err)
}

// jsonReader reads {"leads":[…]}.
type jsonReader struct {
	body    bounded
	decoder *jsontext.Decoder
	object  object
	inside  bool // of leads
	seen    bool // leads
	index   int  // of the next lead
}

func newJSON(body io.Reader) *jsonReader {
	r := &jsonReader{body: bounded{body: bufio.NewReaderSize(body, readBuffer)}}
	r.decoder = jsontext.NewDecoder(&r.body)
	return r
}

// Next implements Reader.
func (r *jsonReader) Next(lead *Lead) error {
	r.body.used(r.decoder.InputOffset())
	if !r.inside {
		if err := r.outside(); err != nil {
			return r.explain(err)
		}
	}
	if r.decoder.PeekKind() != ']' {
		if err := r.object.read(r.decoder, lead); err != nil {
			return r.explain(err)
		}
		r.index++
		return nil
	}
	if _, err := r.decoder.ReadToken(); err != nil {
		return r.explain(err)
	}
	r.inside = false
	return r.explain(r.outside())
}

// outside reads the top level up to the first lead, or to the end, which is
// io.EOF.
func (r *jsonReader) outside() error {
	d := r.decoder
	if d.StackDepth() == 0 {
		if kind := d.PeekKind(); kind != '{' && kind != jsontext.KindInvalid {
			return leadevents.Errorf(leadevents.InvalidRequest, "the body must be a JSON object with leads")
		}
		if _, err := d.ReadToken(); err == io.EOF {
			return leadevents.Errorf(leadevents.InvalidJSON, "the body is empty; it must be a JSON object with leads")
		} else if err != nil {
			return err
		}
	}
	if d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return err
		}
		if field := name.String(); field != "leads" {
			return leadevents.Errorf(leadevents.InvalidRequest, "the field %s is unknown; the body has leads", shown([]byte(field)))
		}
		r.seen = true
		if kind := d.PeekKind(); kind != '[' && kind != jsontext.KindInvalid {
			return leadevents.Errorf(leadevents.InvalidRequest, "leads must be an array")
		}
		_, err = d.ReadToken()
		r.inside = err == nil
		return err
	}
	if _, err := d.ReadToken(); err != nil { // the closing brace
		return err
	}
	if !r.seen {
		return leadevents.Errorf(leadevents.InvalidRequest, "leads is missing; it must be an array of leads")
	}
	_, err := d.ReadToken()
	if err == nil {
		err = leadevents.Errorf(leadevents.InvalidJSON, "something follows the JSON object")
	}
	return err
}

// explain names the lead at which an error occurred.
func (r *jsonReader) explain(err error) error {
	switch {
	case err == nil || err == io.EOF:
		return err
	case r.body.failure != nil:
		return r.body.failure
	case r.inside:
		return explain(fmt.Sprintf("leads[%d]", r.index), "the body", err)
	}
	return explain("", "the body", err)
}

// explain makes an error of the decoder one for the client.
func explain(place, whole string, err error) error {
	if place != "" {
		place += ": "
	}
	if e, ok := errors.AsType[*leadevents.Error](err); ok {
		return leadevents.Errorf(e.Kind, "%s%s", place, e.Message)
	}
	if errors.Is(err, errTooLong) {
		return leadevents.Errorf(leadevents.InvalidRequest, "%sit is longer than %d bytes", place, MaxRow)
	}
	syntax, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok || errors.Is(err, io.ErrUnexpectedEOF) {
		return leadevents.Wrap(leadevents.InvalidJSON, err, "%s%s ends too early", place, whole)
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return leadevents.Wrap(leadevents.InvalidJSON, err, "%sthe field %s is there twice", place, shown([]byte(syntax.JSONPointer.LastToken())))
	}
	// The decoder quotes a character or two of the body at most.
	return leadevents.Wrap(leadevents.InvalidJSON, err, "%snot valid JSON at byte %d: %s", place, syntax.ByteOffset, strings.TrimPrefix(syntax.Err.Error(), "jsontext: "))
}
