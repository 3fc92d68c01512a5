package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"leadevents"
	"leadevents/query/audience"
	"leadevents/query/report"
)

// whereUsage is the help of --where, which has one meaning wherever it stands.
const whereUsage = "only events whose metadata meets the `CONDITION`, such as 'amountUsd gte 100' (eq, ne, gt, gte, lt, lte, in, exists); may be repeated"

// conditionsOf reads what --where was given: a path, an operator and a value, which is
// JSON or else a word; or a JSON array of conditions as in the HTTP API. All must hold.
func conditionsOf(given []string) ([]audience.Condition, error) {
	var all []audience.Condition
	for _, text := range given {
		array := []byte(strings.TrimSpace(text))
		if !strings.HasPrefix(string(array), "[") {
			path, rest := word(text)
			op, value := word(rest)
			if value == "" {
				return nil, leadevents.Errorf(leadevents.InvalidRequest, "--where is %q: it must be a path, an operator and a value, as in 'amountUsd gte 100'", text)
			}
			if !json.Valid([]byte(value)) {
				value = string(quotedJSON(value))
			}
			array = fmt.Appendf(nil, `[{"path":%s,"op":%s,"value":%s}]`, quotedJSON(path), quotedJSON(op), value)
		}
		conditions, err := audience.DecodeWhere(array, "--where")
		if err != nil {
			return nil, leadevents.Errorf(leadevents.InvalidRequest, "%v", err)
		}
		all = append(all, conditions...)
	}
	return all, nil
}

// word is the first word of a text, and what follows it.
func word(text string) (first, rest string) {
	text = strings.TrimSpace(text)
	if i := strings.IndexAny(text, " \t"); i >= 0 {
		return text[:i], strings.TrimSpace(text[i:])
	}
	return text, ""
}

func quotedJSON(text string) []byte {
	return audience.Value{Kind: audience.StringValue, Text: text}.AppendJSON(nil)
}

// momentOf reads a time, or a date in a zone.
func momentOf(flag, text string, zone report.Zone) (leadevents.Millis, error) {
	if at, ok := leadevents.ParseMillis([]byte(text)); ok {
		return at, nil
	}
	if date, err := time.Parse(time.DateOnly, text); err == nil {
		if at := zone.Day(date.Date()); at >= leadevents.MinOccurredAt && at <= leadevents.MaxOccurredAt {
			return at, nil
		}
	}
	return 0, leadevents.Errorf(leadevents.InvalidRequest, "%s is %q: it must be a time such as 2026-05-12T18:34:00Z, or a date such as 2026-05-12, from 1970 to before 2100", flag, text)
}

// beginningOf is when a range begins that ends at to: --from, or --last before its end;
// neither is no beginning.
func beginningOf(from, last string, to leadevents.Millis, zone report.Zone) (at leadevents.Millis, given bool, err error) {
	refuse := func(format string, args ...any) (leadevents.Millis, bool, error) {
		return 0, true, leadevents.Errorf(leadevents.InvalidRequest, format, args...)
	}
	switch {
	case last != "" && from != "":
		return refuse("--last and --from both say when the range begins: give one of them")
	case last != "":
		minutes, ok := minutesOf(last)
		if !ok || minutes == 0 {
			return refuse("--last is %q: it must be a time such as 120m, 24h or 30d", last)
		}
		return max(to.Add(-time.Duration(minutes)*time.Minute), leadevents.MinOccurredAt), true, nil
	case from != "":
		at, err = momentOf("--from", from, zone)
		return at, true, err
	}
	return 0, false, nil
}
