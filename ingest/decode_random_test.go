package ingest

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// assembler puts bodies together out of pieces that are each likely to matter,
// which mutation of bytes seldom finds.
type assembler struct {
	rand *rand.Rand
	strings.Builder
}

func (a *assembler) pick(pieces ...string) {
	a.WriteString(pieces[a.rand.IntN(len(pieces))])
}

func (a *assembler) space() { a.pick("", "", "", "", " ", "\n", "\t ", "\r\n") }

// rarely puts in a piece that breaks the JSON, mostly.
func (a *assembler) rarely() {
	if a.rand.IntN(400) == 0 {
		a.pick(",", "}", "]", ":", `"`, "\\", "\x00", "\xff", "0", "{", "[", "é", "nul")
	}
}

func (a *assembler) value(depth int) {
	a.rarely()
	a.space()
	switch n := a.rand.IntN(10); {
	case n < 2 && depth > 0:
		a.object(depth, func() { a.pick(`"a"`, `"b"`, `"phoneE164"`, `"é\u0041"`, `""`) }, func() { a.value(depth - 1) })
	case n < 4 && depth > 0:
		a.list(depth, func() { a.value(depth - 1) })
	default:
		a.pick(`null`, `true`, `false`, `0`, `-0`, `1.5`, `-1e+10`, `12E-3`, `""`, `"a"`, `"ab\"cdefgh"`, `"😀 \ud83d\ude00 \udead"`, `"\\\\"`, `"12345678 12345678"`)
	}
	a.space()
	a.rarely()
}

func (a *assembler) object(most int, name, value func()) {
	a.WriteByte('{')
	for i := range a.rand.IntN(most + 2) {
		if i > 0 {
			a.WriteByte(',')
		}
		a.space()
		name()
		a.space()
		a.WriteByte(':')
		value()
	}
	a.space()
	a.WriteByte('}')
}

func (a *assembler) list(most int, value func()) {
	a.WriteByte('[')
	for i := range a.rand.IntN(most + 2) {
		if i > 0 {
			a.WriteByte(',')
		}
		value()
	}
	a.space()
	a.WriteByte(']')
}

func (a *assembler) event() {
	if a.rand.IntN(10) == 0 {
		a.value(2)
		return
	}
	a.space()
	a.WriteByte('{')
	for i, name := range a.rand.Perm(5) {
		if i > 0 {
			a.WriteByte(',')
		}
		a.space()
		wild := a.rand.IntN(12) == 0
		switch name {
		case 0:
			a.pick(`"phoneE164"`, `"phoneE164"`, `"phone\u0045164"`)
		case 1:
			a.pick(`"occurredAt"`, `"occurredAt"`, `"occurred\u0041t"`)
		case 2:
			a.pick(`"metadata"`, `"metadata"`, `"met\u0061data"`)
		default:
			a.pick(`"x"`, `"y"`, `"phoneE16"`, `"phoneE1644"`, `"metadata "`, `"PhoneE164"`, `"occurredAt"`, `"phoneE164"`, `"metadata"`)
		}
		a.space()
		a.WriteByte(':')
		a.space()
		switch {
		case wild || name > 2:
			a.value(3)
		case name == 0:
			a.pick(goodPhone, goodPhone, `"\u002b15551234567"`, `"+49 30 1234567"`, `"00491701234567"`, `"x"`, `"+1555"`)
		case name == 1:
			a.pick(goodTime, goodTime, `"2024-02-29T23:59:59.9999+02:00"`, `"2023-02-29T00:00:00Z"`, `"2026-05-12T18:34:00\u005a"`, `"1969-12-31T23:59:59-00:01"`)
		case a.rand.IntN(8) == 0:
			a.pick(nested(63), nested(64), nested(65), sized(8192), sized(8193), strings.Replace(sized(8193), ":", ": ", 1), strings.Replace(sized(8192), ":", " :", 1))
		default:
			a.value(5)
		}
	}
	a.space()
	a.WriteByte('}')
}

func (a *assembler) call() {
	a.space()
	a.WriteByte('{')
	for i, name := range a.rand.Perm(4) {
		if i > 0 {
			a.WriteByte(',')
		}
		a.space()
		wild := a.rand.IntN(40) == 0
		switch name {
		case 0:
			a.pick(`"organizationId":`, `"organizationId" : `, `"organization\u0049d":`)
		case 1:
			a.pick(`"eventType":`, `"event\u0054ype":`)
		case 2:
			a.pick(`"events":`, `"ev\u0065nts" :`)
		default:
			if a.rand.IntN(30) == 0 {
				a.pick(`"events":`, `"organizationId":`)
			}
			a.pick(`"a":`, `"b":`, `"Events":`, `"":`)
		}
		a.space()
		switch {
		case wild || name > 2:
			a.value(4)
		case name == 0:
			a.pick(`42`, `1`, `9223372036854775807`)
		case name == 1:
			a.pick(`"a"`, `"mastery_purchase"`, `"\ud83d\ude00\ud83d"`, `"`+strings.Repeat("é", 128)+`"`)
		default:
			a.list(6, a.event)
		}
	}
	a.space()
	a.rarely()
	a.WriteByte('}')
	a.space()
}

func TestAssembledCallsAreReadAsTheReferenceReadsThem(t *testing.T) {
	var d Decoder
	accepted := 0
	const calls = 4000
	for seed := range uint64(calls) {
		a := assembler{rand: rand.New(rand.NewPCG(seed, 2))}
		a.call()
		compareWithReference(t, &d, []byte(a.String()))
		if d.request.Received > 0 {
			accepted++
		}
	}
	// Both kinds must be there in numbers, or the test has lost its point.
	if accepted < calls/4 || accepted > calls*9/10 {
		t.Errorf("%d of %d calls were accepted", accepted, calls)
	}
}
