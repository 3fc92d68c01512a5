package storetest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// leaks is every secret that the tests of a process have made, and everything that
// their servers and commands wrote: at the end each is looked for in all of it. A
// secret may be known later than it was written, so outputs are kept until then.
type leaks struct {
	mu      sync.Mutex
	secrets map[string]string // what it is, by its text
	outputs map[string]*output
}

// output is what was written in one place.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

var written = leaks{secrets: map[string]string{}, outputs: map[string]*output{}}

// Secret has a secret looked for in every [Output] of this test process, wherever it
// was written and whenever: a master key, a password, a token. what says in a failure
// what it is. One that is empty, or too short to be one, is no secret.
func Secret(what string, texts ...string) { written.secret(what, texts...) }

// Output is where a test copies what servers and commands write: logs, errors,
// metrics, findings. Writers of the same name are one. API keys and signing secrets
// are found there by their shape, every other secret by its text.
func Output(where string) io.Writer { return written.output(where) }

// shortestSecret: what is shorter stands in texts by chance.
const shortestSecret = 8

func (l *leaks) secret(what string, texts ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, text := range texts {
		if len(text) >= shortestSecret {
			l.secrets[text] = what
		}
	}
}

func (l *leaks) output(where string) io.Writer {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.outputs[where]
	if o == nil {
		o = &output{}
		l.outputs[where] = o
	}
	return o
}

// shapes are credentials whoever made them. What tests invent has the shape too, and
// must be written as little.
var shapes = map[string]*regexp.Regexp{
	"an API key":       regexp.MustCompile(`le_[1-9A-HJ-NP-Za-km-z]{10}_[1-9A-HJ-NP-Za-km-z]{50}`),
	"a signing secret": regexp.MustCompile(`les_[1-9A-HJ-NP-Za-km-z]{44}`),
}

// disguises is how a secret may be written.
func disguises(secret string) []string {
	raw := []byte(secret)
	all := []string{
		secret, hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)),
		base64.RawStdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
		strings.Trim(fmt.Sprint(raw), "[]"), // as fmt prints bytes
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// check is an error that names what was found and where, and not the secret.
func (l *leaks) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	// By their first eight bytes: tens of megabytes are searched once, not once for
	// each of some hundred secrets.
	type sought struct{ text, what string }
	index := map[uint64][]sought{}
	for secret, what := range l.secrets {
		for _, text := range disguises(secret) {
			start := binary.LittleEndian.Uint64([]byte(text))
			index[start] = append(index[start], sought{text, what})
		}
	}
	var errs []error
	for _, where := range slices.Sorted(maps.Keys(l.outputs)) {
		o := l.outputs[where]
		o.mu.Lock()
		text := o.text.Bytes()
		o.mu.Unlock()
		found := map[string]int{} // the first byte, by what it is
		for i := range max(0, len(text)-shortestSecret+1) {
			for _, s := range index[binary.LittleEndian.Uint64(text[i:])] {
				if _, known := found[s.what]; !known && bytes.HasPrefix(text[i:], []byte(s.text)) {
					found[s.what] = i
				}
			}
		}
		for what, shape := range shapes {
			if at := shape.FindIndex(text); at != nil {
				found[what] = at[0]
			}
		}
		for _, what := range slices.Sorted(maps.Keys(found)) {
			errs = append(errs, fmt.Errorf("%s tells %s, in line %d: %s", where, what, 1+bytes.Count(text[:found[what]], []byte("\n")), l.masked(before(text, found[what]))))
		}
	}
	return errors.Join(errs...)
}

// before is what stands in front of a finding in its line: where it comes from.
func before(text []byte, at int) string {
	start := max(bytes.LastIndexByte(text[:at], '\n')+1, at-200)
	return string(text[start:at]) + "…"
}

// masked is a text without secrets: a failure is read by more people than a log.
func (l *leaks) masked(text string) string {
	for secret := range l.secrets {
		for _, d := range disguises(secret) {
			text = strings.ReplaceAll(text, d, "[secret]")
		}
	}
	for _, shape := range shapes {
		text = shape.ReplaceAllString(text, "[secret]")
	}
	return text
}
