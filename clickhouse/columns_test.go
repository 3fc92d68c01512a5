package clickhouse

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go"
	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"

	"leadevents"
	"leadevents/internal/storetest"
)

// numbers reads a column of numbers.
func numbers(ctx context.Context, db *DB, q columnQuery) (all []uint64, err error) {
	var column proto.ColUInt64
	q.into = proto.Results{{Name: "phone", Data: &column}}
	q.block = func() error {
		all = append(all, column...)
		return nil
	}
	err = db.columns(ctx, q)
	return all, err
}

func TestColumnsReadLongAnswers(t *testing.T) {
	store := storetest.ClickHouse(t)
	for name, compress := range map[string]bool{"plain": false, "compressed": true} {
		t.Run(name, func(t *testing.T) {
			db, err := Open(Config{Addrs: []string{store.Native}, Database: store.Database, User: store.User, Password: store.Password, Compress: compress})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			}()
			got, err := numbers(t.Context(), db, columnQuery{text: "SELECT number AS phone FROM numbers(300000) ORDER BY phone"})
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != 300_000 || !slices.IsSorted(got) || got[299_999] != 299_999 {
				t.Errorf("%d numbers were read", len(got))
			}
			// What travels with the query, parameters with all that needs escapes,
			// and settings.
			text := "it's \\ a\ttab\nand \x00 é"
			got, err = numbers(t.Context(), db, columnQuery{
				text:       "SELECT phone FROM sent WHERE {text:String} = 'it\\'s \\\\ a\\ttab\\nand \\0 é' AND getSetting('max_threads') = 1 ORDER BY phone",
				parameters: clickhouse.Parameters{"text": parameterText(text)},
				settings:   clickhouse.Settings{"max_threads": 1},
				external:   []ch.ExternalTable{phoneColumn("sent", []uint64{3, 1, 2})},
			})
			if err != nil || !slices.Equal(got, []uint64{1, 2, 3}) {
				t.Errorf("phones that travelled: %v, %v", got, err)
			}
			if n := db.Generation(); n != 0 {
				t.Errorf("%d connections were counted in the generation", n)
			}
		})
	}
}

// The server's own reasons are told as for any other query.
func TestColumnsTellWhyTheServerRefuses(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	for query, want := range map[string]string{
		"SELECT phone FROM no_such_table":                                         "lacks a table",
		"SELECT number AS phone FROM numbers(1e8) ORDER BY cityHash64(phone)":     "memory limit",
		"SELECT number AS phone FROM numbers(1e8) WHERE sleepEachRow(1) = 0":      "did not answer as it should",
		"SELECT throwIf(number > 200000, 'x')::UInt64 AS phone FROM numbers(1e6)": "did not answer as it should",
	} {
		_, err := numbers(t.Context(), db, columnQuery{text: query, settings: clickhouse.Settings{"max_memory_usage": 10_000_000, "max_execution_time": 1}})
		e, ok := errors.AsType[*leadevents.Error](err)
		if !ok || e.Kind != leadevents.Unavailable || !strings.Contains(e.Message, want) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
}

// Who stops listening ends the query, at once.
func TestColumnsEndWithTheirContextOrTheirReader(t *testing.T) {
	db := credentialsIn(t, storetest.ClickHouse(t))
	endless := columnQuery{text: "SELECT number AS phone FROM numbers_mt(1e15)"}
	running := func() (n uint64) {
		t.Helper()
		if err := db.conn.QueryRow(t.Context(), "SELECT count() FROM system.processes WHERE query LIKE '%numbers_mt(1e15)%' AND query NOT LIKE '%processes%'").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	ended := func() {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); running() > 0; {
			if time.Now().After(end) {
				t.Fatal("the query goes on")
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var column proto.ColUInt64
	endless.into = proto.Results{{Name: "phone", Data: &column}}
	endless.block = func() error {
		cancel()
		return nil
	}
	if err := db.columns(ctx, endless); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context: %v", err)
	}
	ended()
	full := errors.New("full")
	endless.block = func() error { return full }
	if err := db.columns(t.Context(), endless); !errors.Is(err, full) {
		t.Errorf("a reader that fails: %v", err)
	}
	ended()
}

// A server that falls silent in the middle of a block is given up, without any
// deadline of the caller's.
func TestColumnsGiveUpASilentServer(t *testing.T) {
	store := storetest.ClickHouse(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	stop := make(chan struct{})
	go func() {
		for {
			here, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", store.Native)
			if err != nil {
				_ = here.Close()
				return
			}
			go func() { _, _ = io.Copy(there, here) }()
			go func() {
				_, _ = io.CopyN(here, there, 1_000_000)
				<-stop
				_, _ = here.Close(), there.Close()
			}()
		}
	}()
	defer close(stop)
	db, err := Open(Config{Addrs: []string{listener.Addr().String()}, Database: store.Database, User: store.User, Password: store.Password, ReadTimeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	got, err := numbers(t.Context(), db, columnQuery{text: "SELECT number AS phone FROM numbers(1000000)"})
	if leadevents.KindOf(err) != leadevents.Unavailable || !strings.Contains(err.Error(), "nothing was heard for 300ms") {
		t.Errorf("after %s numbers: %v", strconv.Itoa(len(got)), err)
	}
}
