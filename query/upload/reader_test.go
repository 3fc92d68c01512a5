package upload

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"leadevents"
	"leadevents/internal/loadgen"
)

// example is a body and what is read from it: accepted leads as "phone
// externalId", rejected ones as "reason phone", with | between; and the error.
type example struct{ name, body, want, says, code string }

func check(t *testing.T, mediaType string, examples []example) {
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			for name, body := range map[string]io.Reader{
				"at once": strings.NewReader(e.body), "byte by byte": iotest.OneByteReader(strings.NewReader(e.body)),
				"its end with its last bytes": iotest.DataErrReader(strings.NewReader(e.body)),
			} {
				got, err := all(mediaType, body)
				if got != e.want {
					t.Errorf("%s: %q; want %q", name, got, e.want)
				}
				if e.says == "" {
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
					continue
				}
				refusal, ok := errors.AsType[*leadevents.Error](err)
				if !ok || !strings.Contains(refusal.Message, e.says) || refusal.Kind.Code() != e.code {
					t.Errorf("%s: %v (%s); want %s, %q", name, err, leadevents.KindOf(err), e.code, e.says)
				}
			}
		})
	}
}

// all reads a body to its end or its error.
func all(mediaType string, body io.Reader) (string, error) {
	reader, err := New(mediaType, body)
	if err != nil {
		return "", err
	}
	var read []string
	for index := 0; ; index++ {
		var lead Lead
		if err := reader.Next(&lead); err != nil {
			if err == io.EOF {
				err = nil
			}
			return strings.Join(read, "|"), err
		}
		phone, reason := lead.Judge()
		if reason == "" {
			read = append(read, fmt.Sprintf("%s %s", phone, lead.ExternalID))
			continue
		}
		reject, shown := lead.Reject(index, reason), "null"
		if reject.HasPhone {
			shown = reject.Phone
		}
		if reject.Index != index || reject.Reason != reason {
			return "", fmt.Errorf("reject %+v of row %d, %s", reject, index, reason)
		}
		read = append(read, reason+" "+shown)
	}
}

// What goes wrong with the body itself is told as it is, wherever it happens.
func TestTheBodysErrorIsToldAsItIs(t *testing.T) {
	cut := errors.New("cut")
	bodies := map[string]string{
		CSV:    "phone,externalId\n+15551234567,a\n\"+15551234567\",\"b\nc\"\n",
		NDJSON: `{"phoneE164":"+15551234567"}` + "\n" + `{"phoneE164":"+15551234567"}` + "\n",
		JSON:   `{"leads":[{"phoneE164":"+15551234567","externalId":"a"},7,{"phoneE164":"+15551234567"}]} `,
	}
	for mediaType, body := range bodies {
		for n := range len(body) {
			_, err := all(mediaType, io.MultiReader(strings.NewReader(body[:n]), iotest.ErrReader(cut)))
			if !errors.Is(err, cut) {
				t.Errorf("%s, cut after %q: %v", mediaType, body[:n], err)
			}
		}
	}
	if _, err := New("text/plain", strings.NewReader("")); err == nil {
		t.Error("text/plain can be read")
	}
}

// endless repeats a piece n times.
type endless struct {
	head, piece, tail string
	n                 int
	left              string
}

// Read implements io.Reader.
func (e *endless) Read(p []byte) (int, error) {
	if e.left == "" {
		switch {
		case e.head != "":
			e.left, e.head = e.head, ""
		case e.n > 0:
			e.left, e.n = strings.Repeat(e.piece, min(e.n, 100)), e.n-min(e.n, 100)
		case e.tail != "":
			e.left, e.tail = e.tail, ""
		default:
			return 0, io.EOF
		}
	}
	n := copy(p, e.left)
	e.left = e.left[n:]
	return n, nil
}

// Memory does not grow with the body: a row costs no allocation in CSV, and none
// that stays in the others.
func TestReadingTakesConstantMemory(t *testing.T) {
	const n = 300_000
	for mediaType, body := range map[string]*endless{
		CSV:    {head: "phone,externalId\n", piece: "+15551234567,\"a\"\n+15551234567,b\n", n: n},
		NDJSON: {piece: `{"phoneE164":"+15551234567","externalId":"a"}` + "\n", n: n},
		JSON:   {head: `{"leads":[7`, piece: `,{"phoneE164":"+15551234567","externalId":"a"}`, n: n, tail: "]}"},
	} {
		t.Run(mediaType, func(t *testing.T) {
			reader, err := New(mediaType, body)
			if err != nil {
				t.Fatal(err)
			}
			var lead Lead
			for range 1000 { // the buffers have their size
				if err := reader.Next(&lead); err != nil {
					t.Fatal(err)
				}
			}
			allocations := testing.AllocsPerRun(100_000, func() {
				if err := reader.Next(&lead); err != nil {
					t.Fatal(err)
				}
			})
			if limit := map[string]float64{CSV: 0.01, NDJSON: 3, JSON: 3}[mediaType]; allocations > limit {
				t.Errorf("%v allocations a row", allocations)
			}
		})
	}
}

func BenchmarkReader(b *testing.B) {
	g, err := loadgen.New(loadgen.Config{Org: 1, Times: loadgen.Live(1_795_000_000_000)})
	if err != nil {
		b.Fatal(err)
	}
	const rows = 100_000
	bodies := map[string]*strings.Builder{CSV: {}, NDJSON: {}, JSON: {}, "encoding/csv": {}}
	bodies[CSV].WriteString("phoneE164,externalId\n")
	bodies[JSON].WriteString(`{"leads":[`)
	for i := range uint64(rows) {
		phone, id := g.Phone(i).String(), fmt.Sprintf("crm-%08d", i)
		fmt.Fprintf(bodies[CSV], "%s,%s\n", phone, id)
		fmt.Fprintf(bodies[NDJSON], `{"phoneE164":"%s","externalId":"%s"}`+"\n", phone, id)
		if i > 0 {
			bodies[JSON].WriteByte(',')
		}
		fmt.Fprintf(bodies[JSON], `{"phoneE164":"%s","externalId":"%s"}`, phone, id)
	}
	bodies[JSON].WriteString("]}")
	for _, mediaType := range MediaTypes() {
		b.Run(mediaType, func(b *testing.B) {
			b.SetBytes(int64(bodies[mediaType].Len()))
			for b.Loop() {
				reader, err := New(mediaType, strings.NewReader(bodies[mediaType].String()))
				var lead Lead
				n := 0
				for ; err == nil; n++ {
					if err = reader.Next(&lead); err == nil {
						lead.Judge()
					}
				}
				if err != io.EOF || n-1 != rows {
					b.Fatal(n, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/rows, "ns/row")
		})
	}
}
