package clickhouse

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
)

// EventTypes lists event types that the organization has had, most of them.
func (a *Analysts) EventTypes(ctx context.Context, org leadevents.OrgID, most int) ([]string, error) {
	return a.texts(ctx, "analyst_event_types", clickhouse.Parameters{"organization": org.String(), "most": strconv.Itoa(most)})
}

// SampleMetadata is the metadata of the newest events of a type.
func (a *Analysts) SampleMetadata(ctx context.Context, org leadevents.OrgID, eventType string, most int) ([]string, error) {
	return a.texts(ctx, "analyst_metadata_sample", clickhouse.Parameters{"organization": org.String(), "event_type": eventType, "most": strconv.Itoa(most)})
}

// texts runs a document that answers with one column of texts.
func (a *Analysts) texts(ctx context.Context, document string, p clickhouse.Parameters) ([]string, error) {
	var all []string
	err := a.db.stream(ctx, document, p, func(rows driver.Rows) error {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		all = append(all, text)
		return nil
	})
	return all, err
}

// Ping says whether ClickHouse answers where statements are sent to.
func (a *Analysts) Ping(ctx context.Context) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://clickhouse/ping", nil)
	if err != nil {
		return fmt.Errorf("build a ping: %w", err)
	}
	answer, err := a.client.Do(request)
	if err != nil {
		return withoutURL(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s, and not as ClickHouse does", answer.Status)
	}
	return nil
}
