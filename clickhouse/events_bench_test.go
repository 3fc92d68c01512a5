package clickhouse

import (
	"testing"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/column"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	block "github.com/ClickHouse/clickhouse-go/v2/lib/proto"

	"leadevents"
)

// blockColumn is a column of a block as a batch of clickhouse-go hands it out.
type blockColumn struct{ column.Interface }

// Append implements driver.BatchColumn.
func (c blockColumn) Append(values any) error {
	_, err := c.Interface.Append(values)
	return err
}

// BenchmarkAppendRows makes 50,000 rows the bytes of an insert, without sending them.
func BenchmarkAppendRows(b *testing.B) {
	rows := &leadevents.Rows{IngestedAt: 1_760_000_600_000}
	rows.Grow(50_000)
	for i := range 50_000 {
		event := leadevents.Event{Phone: leadevents.Phone(15550000000 + i*197), OccurredAt: 1_760_000_000_000 + leadevents.Millis(i), Metadata: []byte(`{"orderId":"ord_9F2","amountUsd":297}`)}
		rows.Append(42, "mastery_purchase", event, 7)
	}
	var buffer proto.Buffer
	send := func() {
		data := block.NewBlock()
		for _, c := range [][2]string{
			{"organization_id", "UInt64"}, {"event_type", "String"}, {"phone", "UInt64"}, {"occurred_at", "DateTime64(3, 'UTC')"},
			{"metadata", "String"}, {"ingested_at", "DateTime64(3, 'UTC')"}, {"batch_id", "UInt64"},
		} {
			if err := data.AddColumn(c[0], column.Type(c[1])); err != nil {
				b.Fatal(err)
			}
		}
		if err := appendRows(func(i int) driver.BatchColumn { return blockColumn{data.Columns[i]} }, rows); err != nil {
			b.Fatal(err)
		}
		buffer.Reset()
		if err := data.Encode(&buffer, 0); err != nil || data.Rows() != rows.Len() {
			b.Fatal(data.Rows(), err)
		}
	}
	send()
	b.SetBytes(int64(len(buffer.Buf)))
	b.ReportAllocs()
	for b.Loop() {
		send()
	}
}
