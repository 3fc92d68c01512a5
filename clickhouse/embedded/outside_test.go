package embedded_test

import (
	"strings"
	"testing"

	"leadevents/clickhouse/analyst"
	"leadevents/clickhouse/embedded"
)

// A tool outside may change settings, and no statement or setting makes its view's
// condition come second: a condition that fails at another organization's row would say
// what stands there. The rows of both lie in one granule.
func TestNoSettingBringsAConditionBeforeTheViews(t *testing.T) {
	cfg := config(t.TempDir())
	cfg.Databases = append(cfg.Databases, "q_42")
	profile := embedded.Profile{Name: "outside", Settings: map[string]string{}}
	for _, s := range (analyst.Limits{}).Settings() {
		if profile.Settings[s.Name] = s.Value; s.Name != "max_execution_time" {
			profile.Constant = append(profile.Constant, s.Name)
		}
	}
	profile.Settings["readonly"] = "2"
	cfg.Profiles = []embedded.Profile{profile}
	cfg.Users = []embedded.User{{Name: "tool", Password: "p", Profile: "outside", Grants: []string{"GRANT SELECT ON q_42.*"}}}
	server := start(t, cfg)
	for _, statement := range []string{
		"CREATE TABLE shop.lead_events (organization_id UInt64, event_type LowCardinality(String), phone UInt64, occurred_at DateTime64(3, 'UTC'), metadata String, " +
			"ingested_at DateTime64(3, 'UTC'), batch_id UInt64, INDEX lead phone TYPE bloom_filter(0.01)) ENGINE = ReplacingMergeTree ORDER BY (organization_id, event_type, occurred_at, phone)",
		// Two parts, for a single one is read another way; most rows are one's own, for where they are few
		// the reading itself drops the others.
		"INSERT INTO shop.lead_events SELECT if(number < 20, 42, 43), 'a', if(number < 20, number, 777), number, if(number < 20, 'mine', 'theirs-8f3a'), 1, 1 FROM numbers(21)",
		"INSERT INTO shop.lead_events SELECT if(number < 20, 42, 43), 'a', if(number < 20, number, 777), number, if(number < 20, 'mine', 'theirs-8f3a'), 2, 1 FROM numbers(21)",
		analyst.View("shop", analyst.Account{Database: "q_42"}, 42, true),
	} {
		if _, err := server.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	settings := []string{
		"max_execution_time = 5", "optimize_move_to_prewhere_if_final = 1", "enable_analyzer = 0", "allow_experimental_analyzer = 0", "compatibility = '22.1'",
		"optimize_move_to_prewhere_if_final = 1, enable_multiple_prewhere_read_steps = 0", "optimize_move_to_prewhere_if_final = 1, short_circuit_function_evaluation = 'disable'",
		"additional_table_filters = {'shop.lead_events': 'throwIf(phone = 777) = 0'}", "additional_table_filters = {'lead_events': 'toUInt64(metadata) = 1'}",
		"additional_table_filters = {'lead_events': 'throwIf(phone = 777) = 0'}, optimize_move_to_prewhere_if_final = 1", "apply_prewhere_after_final = 1, optimize_move_to_prewhere_if_final = 1",
		"query_plan_enable_optimizations = 0", "query_plan_merge_filters = 0", "analyzer_inline_views = 1, optimize_move_to_prewhere_if_final = 1",
	}
	answered := 0
	for _, query := range []string{
		"SELECT count() FROM events WHERE throwIf(phone = 777) = 0",
		"SELECT throwIf(phone = 777) AS t, metadata FROM events WHERE t = 0 AND metadata != ''",
		"SELECT count() FROM events WHERE toUInt64(if(metadata = 'mine', '1', metadata)) = 1",
	} {
		for _, set := range settings {
			for _, statement := range []string{query + " SETTINGS " + set, "SELECT * FROM (" + query + " SETTINGS " + set + ")"} {
				status, body := ask(t, server.Endpoint(), "tool", "p", strings.ReplaceAll(statement, "FROM events", "FROM q_42.events"))
				for _, theirs := range []string{"theirs-8f3a", "FUNCTION_THROW_IF"} {
					if strings.Contains(body, theirs) {
						t.Errorf("%s\nsays %d %.300s", statement, status, body)
					}
				}
				if status == 200 {
					answered++
				}
			}
		}
	}
	if answered < 60 {
		t.Errorf("only %d statements are answered", answered)
	}
}
