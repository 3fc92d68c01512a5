package query

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"leadevents"
	"leadevents/audit"
	"leadevents/clickhouse/analyst"
	"leadevents/query/statement"
)

// SQLStore runs statements as the organization's own database user, who may do
// nothing but read its view. Its errors are for the client.
type SQLStore interface {
	// Explain is the tree that EXPLAIN AST prints; nothing of the statement is executed.
	Explain(ctx context.Context, org leadevents.OrgID, text string, params map[string]string) (string, error)
	// Run writes the answer to w. ctx bounds the statement and the answer.
	Run(ctx context.Context, org leadevents.OrgID, q analyst.Query, w io.Writer) (analyst.Reading, error)
	// Functions lists what the server can call.
	Functions(ctx context.Context) ([]string, error)
	EventTypes(ctx context.Context, org leadevents.OrgID, most int) ([]string, error)
	SampleMetadata(ctx context.Context, org leadevents.OrgID, eventType string, most int) ([]string, error)
}

// SQLConfig bounds analysts' SQL. Zero values are the defaults.
type SQLConfig struct {
	Limits        analyst.Limits
	MaxQueryBytes int // 128 KiB
	MaxNesting    int // 100
	AtOnce        int // statements of all organizations in this process; 16
	Logger        *slog.Logger
	Now           func() time.Time
}

// SQL answers organizations' own statements.
type SQL struct {
	cfg   SQLConfig
	store SQLStore
	audit *audit.Log

	mu      sync.Mutex
	running map[leadevents.OrgID]int
	total   int
	behind  map[chan struct{}]struct{} // what is being written behind answers

	functions struct {
		sync.Mutex
		at       time.Time
		unjudged map[string]bool
	}
}

// NewSQL makes it.
func NewSQL(cfg SQLConfig, store SQLStore, log audit.Store) *SQL {
	cfg.Limits = cfg.Limits.WithDefaults()
	cfg.MaxQueryBytes = cmp.Or(cfg.MaxQueryBytes, 128<<10)
	cfg.MaxNesting = cmp.Or(cfg.MaxNesting, 100)
	cfg.AtOnce = cmp.Or(cfg.AtOnce, 16)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &SQL{cfg: cfg, store: store, audit: audit.NewLog(log, cfg.Now, cfg.Logger), running: map[leadevents.OrgID]int{}, behind: map[chan struct{}]struct{}{}}
}

// sqlFormats are what clients call ClickHouse's formats.
var sqlFormats = map[string]struct{ clickHouse, contentType string }{
	"json":    {"JSON", "application/json; charset=utf-8"},
	"ndjson":  {"JSONEachRow", "application/x-ndjson"},
	"csv":     {"CSVWithNames", "text/csv; charset=utf-8"},
	"parquet": {"Parquet", "application/vnd.apache.parquet"},
	"arrow":   {"Arrow", "application/vnd.apache.arrow.file"},
}

// SQLFormats lists their names.
func SQLFormats() []string { return slices.Sorted(maps.Keys(sqlFormats)) }

// SQLQuery is a statement whose words are allowed, with its parameters.
type SQLQuery struct {
	statement statement.Statement
	params    map[string]string
	format    string
}

// Read looks at a statement as far as that costs no store; an empty format is json.
func (s *SQL) Read(text string, params map[string]jsontext.Value, format string) (SQLQuery, error) {
	format = cmp.Or(format, "json")
	if _, known := sqlFormats[format]; !known {
		return SQLQuery{}, leadevents.Errorf(leadevents.InvalidRequest, "format must be one of %s", strings.Join(SQLFormats(), ", "))
	}
	bound, err := statement.Bind(params)
	if err != nil {
		return SQLQuery{}, err
	}
	read, err := statement.Read(text, statement.Limits{Bytes: s.cfg.MaxQueryBytes, Nesting: s.cfg.MaxNesting})
	return SQLQuery{read, bound, format}, err
}

// functionsAge is how long the list of the server's functions is believed: a function
// appears when the server is replaced by another version.
const functionsAge = time.Minute

// unjudged are the server's functions that this binary does not know.
func (s *SQL) unjudged(ctx context.Context) (map[string]bool, error) {
	f := &s.functions
	f.Lock()
	defer f.Unlock()
	if f.unjudged != nil && s.cfg.Now().Sub(f.at) < functionsAge {
		return f.unjudged, nil
	}
	names, err := s.store.Functions(ctx)
	if err != nil {
		return nil, err
	}
	f.unjudged, f.at = statement.Unjudged(names), s.cfg.Now()
	return f.unjudged, nil
}

// enter takes a place among the statements under way.
func (s *SQL) enter(org leadevents.OrgID) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[org] >= s.cfg.Limits.AtOnce {
		err := leadevents.Errorf(leadevents.RateLimited, "organization %d runs %d statements at once already (sql.organization_queries); ask again when one has ended", org, s.cfg.Limits.AtOnce)
		err.RetryAfter = time.Second
		return nil, err
	}
	if s.total >= s.cfg.AtOnce {
		return nil, leadevents.Errorf(leadevents.Unavailable, "%d statements are being run already (sql.at_once); send the same request again in a moment", s.cfg.AtOnce)
	}
	s.running[org]++
	s.total++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.total--
		if s.running[org]--; s.running[org] == 0 {
			delete(s.running, org)
		}
	}, nil
}

// Timeout is what a statement may take, reading its answer included.
func (s *SQL) Timeout() time.Duration { return s.cfg.Limits.Timeout }

// Run judges a statement and writes its answer to w. After an error w may have a part
// of it. ctx ends after Timeout, and so do writes to w. The order:
//
//  1. a place: the organization's, and this process';
//  2. the audit log's entry; and beside it, for it takes longer than most statements,
//  3. the tree, the judgement, and the statement. But nothing of its answer goes to w
//     before the entry is written: what is audited is what somebody gets to see;
//  4. the answer, until it is written or the time is over;
//  5. what became of it is written behind the answer. Settle waits for that.
//
// A crash leaves at worst an entry that stays begun. A refused statement has one that
// has failed.
func (s *SQL) Run(ctx context.Context, org leadevents.OrgID, q SQLQuery, w io.Writer) error {
	leave, err := s.enter(org)
	if err != nil {
		return err
	}
	defer leave()
	id := fmt.Sprintf("sql-%016x", leadevents.NewID())
	entry := &gate{w: w, open: make(chan struct{})}
	go func() {
		defer close(entry.open)
		act := audit.Act{Action: audit.SQLQuery, Object: id, Detail: audit.Detail{"format": q.format, "queryBytes": len(q.statement.Text)}, Reads: true}
		// Not within the statement's time: it bounds its own.
		entry.act, entry.err = s.audit.Begin(context.WithoutCancel(ctx), org, act)
	}()
	var reading analyst.Reading
	err = s.judge(ctx, org, q)
	judged := err == nil
	if judged {
		reading, err = s.store.Run(ctx, org, analyst.Query{ID: id, Text: q.statement.Text, Params: q.params, Format: sqlFormats[q.format].clickHouse}, entry)
	}
	<-entry.open
	if entry.err != nil {
		return entry.err
	}
	if judged {
		entry.act.Detail["rowsRead"], entry.act.Detail["bytesRead"] = reading.Rows, reading.Bytes
	}
	if reading.AtLeast {
		entry.act.Detail["atLeast"] = true
	}
	s.later(func() { entry.act.End(ctx, err) })
	return err
}

// gate lets an answer through when its entry in the audit log is written.
type gate struct {
	w    io.Writer
	open chan struct{} // closed when the entry is written, or cannot be
	act  *audit.Open
	err  error
}

// Write implements io.Writer.
func (g *gate) Write(p []byte) (int, error) {
	<-g.open // audit bounds it
	if g.err != nil {
		return 0, g.err
	}
	return g.w.Write(p)
}

// later does something behind an answer.
func (s *SQL) later(do func()) {
	done := make(chan struct{})
	s.mu.Lock()
	s.behind[done] = struct{}{}
	s.mu.Unlock()
	go func() {
		defer close(done)
		do()
		s.mu.Lock()
		delete(s.behind, done)
		s.mu.Unlock()
	}()
}

// Settle waits until the audit log has what became of the statements that are answered,
// or ctx ends.
func (s *SQL) Settle(ctx context.Context) error {
	s.mu.Lock()
	behind := slices.Collect(maps.Keys(s.behind))
	s.mu.Unlock()
	for _, done := range behind {
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *SQL) judge(ctx context.Context, org leadevents.OrgID, q SQLQuery) error {
	unjudged, err := s.unjudged(ctx)
	if err != nil {
		return fmt.Errorf("list the functions of ClickHouse: %w", err)
	}
	tree, err := s.store.Explain(ctx, org, q.statement.Text, q.params)
	if err != nil {
		return err
	}
	return q.statement.Judge(tree, unjudged)
}
