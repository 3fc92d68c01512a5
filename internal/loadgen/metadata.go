package loadgen

import (
	"strconv"
)

// piece is a part of a metadata template: fixed text, then a value chosen by
// the event's random bits (r >> shift) % mod: a word, or that plus min in decimal.
// A piece with mod 0 is only its text.
type piece struct {
	text  string
	shift int
	mod   uint64
	min   uint64
	words []string
}

// template is the metadata of an event type. absent of 100 events have none.
type template struct {
	eventType string
	absent    uint64
	pieces    []piece
}

func number(text string, shift int, minimum, count uint64) piece {
	return piece{text: text, shift: shift, mod: count, min: minimum}
}

func word(text string, shift int, words ...string) piece {
	return piece{text: text, shift: shift, mod: uint64(len(words)), words: words}
}

func end(text string) piece { return piece{text: text} }

// templates are the default event types, most frequent first.
var templates = []template{
	{"page_view", 20, []piece{number(`{"url":"/lessons/`, 8, 1, 4000), word(`","utm":{"source":"`, 24, "facebook", "google", "youtube", "newsletter", "direct"),
		number(`","campaign":"c`, 32, 100, 300), end(`"}}`)}},
	{"email_opened", 30, []piece{number(`{"campaignId":"cmp_`, 8, 1000, 900), word(`","device":"`, 24, "mobile", "desktop", "tablet"), end(`"}`)}},
	{"webinar_registered", 10, []piece{number(`{"webinarId":"wb_`, 8, 100, 120), word(`","source":"`, 24, "facebook", "google", "youtube", "newsletter", "partner"),
		number(`","consent":true,"seat":`, 32, 1, 5000), end(`}`)}},
	{"webinar_attended", 5, []piece{number(`{"webinarId":"wb_`, 8, 100, 120), number(`","minutes":`, 24, 1, 118), word(`,"device":"`, 40, "mobile", "desktop", "tablet"), end(`"}`)}},
	{"link_clicked", 30, []piece{number(`{"campaignId":"cmp_`, 8, 1000, 900), number(`","link":`, 24, 1, 9), end(`}`)}},
	{"mastery_purchase", 0, []piece{number(`{"orderId":"ord_`, 8, 100_000_000, 900_000_000), word(`","amountUsd":`, 40, "297", "497", "997", "49.5", "1497"),
		word(`,"items":[{"sku":"`, 48, "MASTERY-1", "MASTERY-2", "BUNDLE", "COACHING"), number(`","qty":`, 56, 1, 3), end(`}]}`)}},
	{"quiz_completed", 10, []piece{number(`{"score":`, 8, 0, 101), word(`,"tags":["`, 24, "beginner", "trader", "founder", "creator"),
		word(`","`, 32, "us", "eu", "latam", "apac"), end(`"],"completed":true}`)}},
	{"live_event_attended", 40, []piece{word(`{"city":"`, 8, "Austin", "Berlin", "São Paulo", "Mumbai", "London"), number(`","day":`, 24, 1, 3), end(`}`)}},
	{"call_booked", 60, []piece{word(`{"closer":"`, 8, "amy", "ben", "chloe", "dan"), number(`","slot":{"minutes":`, 24, 15, 46), end(`}}`)}},
	{"sms_replied", 70, []piece{word(`{"text":"`, 8, "YES", "STOP", "call me \\\"later\\\"", "how much?", "👍"), end(`"}`)}},
	{"subscription_renewed", 0, []piece{word(`{"plan":"`, 8, "basic", "pro", "team"), number(`","amountUsd":`, 24, 19, 180), number(`,"invoice":{"number":"in_`, 32, 10_000_000, 90_000_000), end(`","paid":true}}`)}},
	{"refund_requested", 0, []piece{number(`{"orderId":"ord_`, 8, 100_000_000, 900_000_000), word(`","reason":`, 40, `"price"`, `"content"`, `"accident"`, "null"), end(`}`)}},
}

// DefaultEventTypes are the names of the event types made by default.
func DefaultEventTypes() []string {
	names := make([]string, len(templates))
	for i, t := range templates {
		names[i] = t.eventType
	}
	return names
}

// templateOf is the template of event type number kind; own names take the
// default types' templates in turn.
func templateOf(kind int) *template { return &templates[kind%len(templates)] }

// noMetadata is what is stored where the client sent none.
const noMetadata = "{}"

// appendMetadata appends the compact JSON object that random bits r choose.
func appendMetadata(b []byte, kind int, r uint64) []byte {
	t := templateOf(kind)
	if r%100 < t.absent {
		return append(b, noMetadata...)
	}
	for i := range t.pieces {
		p := &t.pieces[i]
		b = append(b, p.text...)
		if p.mod == 0 {
			continue
		}
		value := r >> p.shift % p.mod
		if p.words != nil {
			b = append(b, p.words[value]...)
		} else {
			b = strconv.AppendUint(b, value+p.min, 10)
		}
	}
	return b
}
