package configs

import (
	"time"

	"leadevents"
	"leadevents/auth"
	"leadevents/clickhouse/analyst"
)

// Settings is everything that can be set. The tags are the reference:
//
//	key      the name in the file; groups are joined with a dot ("redis.db"),
//	         in the environment with an underscore (LEADEVENTS_REDIS_DB)
//	default  the value when nobody sets one
//	range    "min..max", both allowed; either side may be open
//	oneof    the allowed words
//	form     how a text must look: see checkForm
//
// Rules between two values are in rules.go.
type Settings struct {
	// Listen is the address to serve HTTP on.
	Listen string `key:"listen" default:"127.0.0.1:8080" form:"listen"`
	// OperatorToken is the credential of /api/v1/admin/*; empty closes it.
	OperatorToken auth.Secret `key:"operator_token" range:"20..256"`
	// MasterKey encrypts the stored signing secrets: 32 bytes in hex or base64.
	MasterKey auth.Secret `key:"master_key" form:"key32"`
	// OldMasterKey still reads what was encrypted before MasterKey was changed.
	OldMasterKey auth.Secret `key:"old_master_key" form:"key32"`
	// NextMasterKey reads what others encrypt who have it as MasterKey already.
	NextMasterKey auth.Secret `key:"next_master_key" form:"key32"`

	HTTP       HTTP       `key:"http"`
	ClickHouse ClickHouse `key:"clickhouse"`
	Redis      Redis      `key:"redis"`
	Ledger     Ledger     `key:"ledger"`
	Ingest     Ingest     `key:"ingest"`
	Auth       Auth       `key:"auth"`
	Limits     Limits     `key:"limits"`
	Audiences  Audiences  `key:"audiences"`
	Filters    Filters    `key:"filters"`
	Sends      Sends      `key:"sends"`
	SQL        SQL        `key:"sql"`
	Events     Events     `key:"events"`
	Reports    Reports    `key:"reports"`
	Erasure    Erasure    `key:"erasure"`
	Retention  Retention  `key:"retention"`
	Reconcile  Reconcile  `key:"reconcile"`
	Pprof      Pprof      `key:"pprof"`
	Log        Log        `key:"log"`
}

// HTTP bounds everything that a client can make the server hold. The body limit
// of 10 MB is part of the contract and no setting.
type HTTP struct {
	// MaxHeaderBytes is the longest request line and headers together.
	MaxHeaderBytes Bytes `key:"max_header_bytes" default:"8KiB" range:"1KiB..1MiB"`
	// TLSCertFile and TLSKeyFile serve HTTPS: a chain of certificates and its key, in
	// PEM. They are read again when they change.
	TLSCertFile string `key:"tls_cert_file" default:"" form:"file"`
	TLSKeyFile  string `key:"tls_key_file" default:"" form:"file"`
	// TLSReloadInterval is how often the two files are looked at.
	TLSReloadInterval time.Duration `key:"tls_reload_interval" default:"10s" range:"100ms..1h"`
	// TrustedProxies are whose X-Forwarded-For is believed: addresses, or networks.
	TrustedProxies []string `key:"trusted_proxies" default:"" form:"networks"`
	// MaxConnections bounds the open connections. For one more, that which has
	// waited longest for a request or its body is closed; if all are at work, it is a 503.
	MaxConnections int `key:"max_connections" default:"4096" range:"1..1000000"`
	// MaxRequests bounds the requests handled at once, those not counted whose
	// body is still on its way; one more is a 503.
	MaxRequests int `key:"max_requests" default:"2048" range:"1..1000000"`
	// MaxBodyMemory bounds the bytes of bodies held at once, raw and
	// decompressed together; a body that does not fit is a 503.
	MaxBodyMemory Bytes `key:"max_body_memory" default:"128MiB" range:"32MiB..1024GiB"`
	// HeaderTimeout is how long a client may take for request line and headers.
	HeaderTimeout time.Duration `key:"header_timeout" default:"10s" range:"100ms..10m"`
	// BodyTimeout is how long a client may take for a body, a streamed one for
	// each MiB of it.
	BodyTimeout time.Duration `key:"body_timeout" default:"2m" range:"1s..24h"`
	// BodyIdleTimeout is how long a client may send nothing of a streamed body.
	BodyIdleTimeout time.Duration `key:"body_idle_timeout" default:"30s" range:"1s..1h"`
	// IdleTimeout closes a kept connection on which nothing is asked.
	IdleTimeout time.Duration `key:"idle_timeout" default:"2m" range:"1s..24h"`
	// WriteTimeout is how long a client may take for one piece of an answer.
	WriteTimeout time.Duration `key:"write_timeout" default:"30s" range:"1s..24h"`
	// LingerTimeout is how long the server goes on reading what a client still
	// sends after it was answered, so that it gets to read the answer.
	LingerTimeout time.Duration `key:"linger_timeout" default:"10s" range:"100ms..10m"`
	// ReadinessTimeout is how long /readyz waits for the stores.
	ReadinessTimeout time.Duration `key:"readiness_timeout" default:"3s" range:"100ms..1m"`
	// ShutdownTimeout bounds the wait for requests in flight at a stop.
	ShutdownTimeout time.Duration `key:"shutdown_timeout" default:"40s" range:"1s..10m"`
}

// ClickHouse is the store that holds the truth.
type ClickHouse struct {
	// Addrs are the servers' native addresses; the first that answers is used.
	Addrs []string `key:"addrs" default:"127.0.0.1:9000" form:"hostport"`
	// HTTPAddrs are their HTTP addresses (HTTPS with tls), for organizations' own SQL:
	// ClickHouse writes the formats of its answers itself.
	HTTPAddrs []string    `key:"http_addrs" default:"127.0.0.1:8123" form:"hostport"`
	Database  string      `key:"database" default:"leadevents" form:"name"`
	User      string      `key:"user" default:"leadevents" form:"word"`
	Password  auth.Secret `key:"password"`
	// TLS connects with TLS and checks the server's certificate.
	TLS bool `key:"tls" default:"false"`
	// TLSCAFile replaces the system's certificate authorities.
	TLSCAFile string `key:"tls_ca_file" default:"" form:"file"`
	// Compress turns LZ4 on for what travels; worth it between machines only.
	Compress bool `key:"compress" default:"false"`
	// MaxConns bounds the connections that one server process keeps. Sends.Streams,
	// Filters.AtOnce × Filters.Threads for previews, Events.AtOnce, and Events.Streams × 17
	// at most, come on top.
	MaxConns int `key:"max_conns" default:"32" range:"2..1024"`
	// DialTimeout bounds one attempt to connect.
	DialTimeout time.Duration `key:"dial_timeout" default:"5s" range:"100ms..1m"`
	// QueryTimeout bounds one read.
	QueryTimeout time.Duration `key:"query_timeout" default:"30s" range:"1s..1h"`
	// InsertTimeout bounds one attempt to store; see ledger.deadline.
	InsertTimeout time.Duration `key:"insert_timeout" default:"10s" range:"100ms..5m"`
	// Fsync makes an acknowledged row survive a power cut, not only a crash. It is
	// the server's to keep: dev configures its own so, `check` examines others.
	Fsync bool `key:"fsync" default:"false"`
}

// Redis is the store that remembers what was stored recently.
type Redis struct {
	Addr     string      `key:"addr" default:"127.0.0.1:6379" form:"hostport"`
	User     string      `key:"user" default:"" form:"word"`
	Password auth.Secret `key:"password"`
	DB       int         `key:"db" default:"0" range:"0..1023"`
	// KeyPrefix stands before every key, so that two installations can share a
	// Redis.
	KeyPrefix string `key:"key_prefix" default:"le" form:"prefix"`
	TLS       bool   `key:"tls" default:"false"`
	// TLSCAFile replaces the system's certificate authorities.
	TLSCAFile string `key:"tls_ca_file" default:"" form:"file"`
	// PoolSize bounds the connections of one server process.
	PoolSize int `key:"pool_size" default:"64" range:"2..1024"`
	// DialTimeout bounds one attempt to connect.
	DialTimeout time.Duration `key:"dial_timeout" default:"5s" range:"100ms..1m"`
	// Timeout bounds one pipeline: writing it and reading its replies.
	Timeout time.Duration `key:"timeout" default:"5s" range:"50ms..1m"`
}

// Ledger is how long keys are remembered, and how they are kept.
type Ledger struct {
	// Horizon (T): events younger than this need no look into ClickHouse.
	Horizon time.Duration `key:"horizon" default:"72h" range:"1s..8760h"`
	// ShortHorizon (Tshort): how long every key is remembered at least, however
	// old its event; at least ten deadlines.
	ShortHorizon time.Duration `key:"short_horizon" default:"10m" range:"1s..72h"`
	// Deadline (D): the longest a request may take from its stamp to its seal.
	Deadline time.Duration `key:"deadline" default:"30s" range:"100ms..10m"`
	// Margin is the clock difference that is tolerated.
	Margin time.Duration `key:"margin" default:"5s" range:"10ms..10m"`
	// SlotWidth and SlotBits lay the keys out in buckets: one holds the keys of
	// one type within 2^SlotWidth ms, one of 2^SlotBits by phone.
	SlotWidth int `key:"slot_width" default:"26" range:"10..28"`
	SlotBits  int `key:"slot_bits" default:"3" range:"0..12"`
	// ChunkKeys is how many keys one call to Redis carries.
	ChunkKeys int `key:"chunk_keys" default:"1000" range:"1..2000"`
	// Connections is how many calls of one request are on their way at once.
	Connections int `key:"connections" default:"2" range:"1..64"`
	// Heartbeat is how often the health of both stores is looked at.
	Heartbeat time.Duration `key:"heartbeat" default:"1s" range:"50ms..1m"`
	// RebuildRate bounds a rebuild after a loss, in keys a second.
	RebuildRate int `key:"rebuild_rate" default:"500000" range:"1000..10000000"`
}

// Ingest bounds the write path.
type Ingest struct {
	// Queue bounds the small calls that wait for the next group, and those with an
	// Idempotency-Key, which have groups of their own, as much; beyond it: 503.
	Queue int `key:"queue" default:"8192" range:"1..1000000"`
	// Lanes is how many groups of small calls are under way at once, and how many
	// of those with an Idempotency-Key.
	Lanes int `key:"lanes" default:"2" range:"1..64"`
	// SmallRows is the size up to which a call is gathered with others.
	SmallRows int `key:"small_rows" default:"1000" range:"1..50000"`
	// GroupRows, GroupBytes and GroupAge close a group, the first that is
	// reached.
	GroupRows  int           `key:"group_rows" default:"10000" range:"1..50000"`
	GroupBytes Bytes         `key:"group_bytes" default:"4MiB" range:"64KiB..64MiB"`
	GroupAge   time.Duration `key:"group_age" default:"5ms" range:"100us..1s"`
	// BulkLanes is how many big calls are under way at once, BulkQueue how many
	// may wait; beyond it: 503.
	BulkLanes int `key:"bulk_lanes" default:"2" range:"1..64"`
	BulkQueue int `key:"bulk_queue" default:"64" range:"1..100000"`
	// HistoricalLanes is how many of the bulk lanes big calls of a backfill may have at
	// once: those of a run (Leadevents-Run), and those with more than SmallRows events
	// beyond Ledger.Horizon. HistoricalQueue is how many may wait; beyond it: 503.
	HistoricalLanes int `key:"historical_lanes" default:"1" range:"1..64"`
	HistoricalQueue int `key:"historical_queue" default:"8" range:"1..10000"`
	// MaxPartsPerSecond bounds the parts that one server process adds to
	// lead_events, one for each insert and year of its events. Small calls have half
	// of it, big ones a quarter, those of a backfill a quarter, and each what the
	// others leave; what is too early waits, and groups grow meanwhile.
	MaxPartsPerSecond int `key:"max_parts_per_second" default:"100" range:"2..100000"`
	// Conflicts counts the duplicates whose metadata is not what is stored; it reads the
	// metadata of all duplicates.
	Conflicts string `key:"conflicts" default:"off" oneof:"off on"`
	// PeekTimeout bounds what comes before the deadline begins.
	PeekTimeout time.Duration `key:"peek_timeout" default:"10s" range:"100ms..5m"`
	// StoreSilence is how long a store may say nothing, though it is asked, until
	// its calls are refused at once.
	StoreSilence time.Duration `key:"store_silence" default:"700ms" range:"100ms..1m"`
}

// Auth is how fresh the cached credentials are.
type Auth struct {
	// RefreshInterval is how often the store is asked for changes.
	RefreshInterval time.Duration `key:"refresh_interval" default:"500ms" range:"50ms..1s"`
	// MaxStaleness is the oldest copy that a request is judged by. The contract
	// gives a revocation 2 seconds to hold everywhere, so more is not possible.
	MaxStaleness time.Duration `key:"max_staleness" default:"2s" range:"100ms..2s"`
	// MaxWait is how long a request waits for a fresher copy before it is a 503.
	MaxWait time.Duration `key:"max_wait" default:"1s" range:"10ms..10s"`
	// FlushInterval is how often the last uses of keys are written.
	FlushInterval time.Duration `key:"flush_interval" default:"10s" range:"100ms..10m"`
	// UnusedAfter is for how long a key must not have been used until lists show it
	// as safe to revoke; 30 days.
	UnusedAfter time.Duration `key:"unused_after" default:"720h" range:"1s..8760h"`
}

// Limits is what each organization may do that has no limits of its own; 0 is no limit.
// The ranges are those of leadevents.Limit.
type Limits struct {
	// RequestsPerSecond counts all requests with a credential of the organization.
	RequestsPerSecond int `key:"requests_per_second" default:"0" range:"0..1000000"`
	// RowsPerSecond counts the rows of ingest calls and audience uploads.
	RowsPerSecond int `key:"rows_per_second" default:"0" range:"0..10000000"`
	// BodiesInFlight is how many requests with a body are handled at once.
	BodiesInFlight int `key:"bodies_in_flight" default:"0" range:"0..100000"`
	// ConcurrentExports is how many streamed results are read at once.
	ConcurrentExports int `key:"concurrent_exports" default:"0" range:"0..100000"`
	// StoredAudiences is how many audiences there may be.
	StoredAudiences int `key:"stored_audiences" default:"0" range:"0..1000000"`
	// Timeout is how long Redis is waited for until this process counts for itself.
	Timeout time.Duration `key:"timeout" default:"100ms" range:"10ms..5s"`
}

// Defaults is them as the vocabulary has them.
func (l Limits) Defaults() leadevents.Limits {
	return leadevents.Limits{
		leadevents.RequestsPerSecond: l.RequestsPerSecond,
		leadevents.RowsPerSecond:     l.RowsPerSecond,
		leadevents.BodiesInFlight:    l.BodiesInFlight,
		leadevents.ConcurrentExports: l.ConcurrentExports,
		leadevents.StoredAudiences:   l.StoredAudiences,
	}
}

// Audiences bounds the uploads of audiences.
type Audiences struct {
	// MaxUploads is how many uploads run at once in one server process; one more
	// is a 503.
	MaxUploads int `key:"max_uploads" default:"4" range:"1..64"`
	// FinishTimeout bounds what comes when all of an upload has arrived: making it
	// a part of its audience.
	FinishTimeout time.Duration `key:"finish_timeout" default:"10m" range:"1s..6h"`
}

// Filters is what the meaning of a filter depends on, and what their evaluation may
// take.
type Filters struct {
	// ClockSkew is how far after a send's fireAt an event may lie and still
	// count as before it.
	ClockSkew time.Duration `key:"clock_skew" default:"5m" range:"0s..24h"`
	// AtOnce is how many previews are under way at once, and how many
	// materializations; 16 times as many may wait, beyond it: 503.
	AtOnce int `key:"at_once" default:"4" range:"1..64"`
	// Threads is how many cores of ClickHouse one of their queries keeps busy. The
	// materialization of an audience that is one slice has two of them under way.
	Threads int `key:"threads" default:"2" range:"1..256"`
	// Memory bounds one of their queries in ClickHouse.
	Memory Bytes `key:"memory" default:"1GiB" range:"128MiB..1024GiB"`
	// SliceLeads is how many leads of an audience a preview asks about together; a
	// materialization up to four times as many, one for each 512 bytes of Memory.
	SliceLeads int `key:"slice_leads" default:"1048576" range:"10000..50000000"`
	// PreviewTimeout and MaterializeTimeout bound one of them.
	PreviewTimeout     time.Duration `key:"preview_timeout" default:"30s" range:"1s..1h"`
	MaterializeTimeout time.Duration `key:"materialize_timeout" default:"30m" range:"1s..24h"`
	// Nice is how far materializations stand back behind inserts.
	Nice int `key:"nice" default:"8" range:"0..19"`
}

// Reports bounds what analysts' reports may take.
type Reports struct {
	// AtOnce is how many are under way at once in one server process; 16 times as many may
	// wait, beyond it: 503.
	AtOnce int `key:"at_once" default:"4" range:"1..64"`
	// Threads is how many cores of ClickHouse one of them keeps busy.
	Threads int `key:"threads" default:"2" range:"1..256"`
	// Memory bounds one of their queries in ClickHouse; one that needs more is a 422.
	Memory Bytes `key:"memory" default:"1GiB" range:"128MiB..1024GiB"`
	// Timeout bounds one of them; one that needs longer is a 422.
	Timeout time.Duration `key:"timeout" default:"30s" range:"1s..1h"`
}

// Sends bounds the work on sends of one server process.
type Sends struct {
	// Workers is how many materializations run at once, Queue how many may wait;
	// beyond it: 503.
	Workers int `key:"workers" default:"2" range:"1..64"`
	Queue   int `key:"queue" default:"16" range:"0..10000"`
	// Streams is how many results are read at once; beyond it: 503.
	Streams int `key:"streams" default:"4" range:"1..256"`
	// Wait is the longest that a call with ?wait=true waits.
	Wait time.Duration `key:"wait" default:"60s" range:"1s..1h"`
	// Lease is after how long without a sign of life of its process a
	// materialization is begun again by another one.
	Lease time.Duration `key:"lease" default:"15s" range:"1s..10m"`
}

// SQL bounds organizations' own statements (POST /api/v1/sql). What is ClickHouse's to
// hold is among the settings of the users that they run as.
type SQL struct {
	// Timeout bounds one statement, reading its answer included.
	Timeout time.Duration `key:"timeout" default:"30s" range:"100ms..1h"`
	// Memory bounds one statement in ClickHouse, OrganizationMemory all of an
	// organization's at once.
	Memory             Bytes `key:"memory" default:"1GiB" range:"16MiB..1024GiB"`
	OrganizationMemory Bytes `key:"organization_memory" default:"2GiB" range:"16MiB..1024GiB"`
	// RowsRead, ResultRows and ResultBytes bound what one reads and answers.
	RowsRead    int   `key:"rows_read" default:"10000000000" range:"1000..1000000000000"`
	ResultRows  int   `key:"result_rows" default:"100000000" range:"1..1000000000000"`
	ResultBytes Bytes `key:"result_bytes" default:"16GiB" range:"1MiB..1024GiB"`
	// Threads is how many cores of ClickHouse one keeps busy.
	Threads int `key:"threads" default:"2" range:"1..256"`
	// OrganizationQueries is how many statements of an organization run at once; one
	// more is a 429. AtOnce is how many of all in one server process; one more: 503.
	OrganizationQueries int `key:"organization_queries" default:"4" range:"1..256"`
	AtOnce              int `key:"at_once" default:"16" range:"1..1024"`
	// MaxQueryBytes and MaxNesting bound a statement's text.
	MaxQueryBytes Bytes `key:"max_query_bytes" default:"128KiB" range:"1KiB..250KiB"`
	MaxNesting    int   `key:"max_nesting" default:"100" range:"10..300"`
	// UserPool is how many database users were made ahead, on a ClickHouse that cannot
	// make any (dev's); 0 makes one for each organization.
	UserPool int `key:"user_pool" default:"0" range:"0..999"`
}

// Limits is those of a statement, as the analysts' users have them.
func (s SQL) Limits() analyst.Limits {
	return analyst.Limits{
		Timeout: s.Timeout, Memory: uint64(s.Memory), OrganizationMemory: uint64(s.OrganizationMemory),
		RowsRead: uint64(s.RowsRead), ResultRows: uint64(s.ResultRows), ResultBytes: uint64(s.ResultBytes),
		Threads: s.Threads, AtOnce: s.OrganizationQueries,
	}
}

// Events bounds the questions about events of one server process.
type Events struct {
	// AtOnce is how many lists, timelines and catalogs are read at once; others wait.
	AtOnce int `key:"at_once" default:"8" range:"1..256"`
	// Timeout bounds one of them.
	Timeout time.Duration `key:"timeout" default:"30s" range:"1s..10m"`
	// Streams is how many exports are read at once; beyond it: 503.
	Streams int `key:"streams" default:"4" range:"1..64"`
}

// Erasure is how long the erasure of a lead may take.
type Erasure struct {
	// PurgeAfter is for how long rows that nobody sees any more may lie on the disk of
	// ClickHouse until the parts that hold them are written anew, all at once.
	PurgeAfter time.Duration `key:"purge_after" default:"12h" range:"0s..720h"`
	// Wait is the longest that a call with ?wait=true waits.
	Wait time.Duration `key:"wait" default:"60s" range:"1s..1h"`
}

// Retention is how expired events are removed; for how long they are kept says each
// organization.
type Retention struct {
	// Every is how often is looked for what has expired.
	Every time.Duration `key:"every" default:"1h" range:"1s..24h"`
}

// Reconcile bounds the comparison of what was told with what is stored.
type Reconcile struct {
	// Timeout bounds one answer of GET /api/v1/reconcile; what was not looked at by then
	// is said in it.
	Timeout time.Duration `key:"timeout" default:"2m" range:"1s..6h"`
	// Memory bounds one of its queries in ClickHouse.
	Memory Bytes `key:"memory" default:"1GiB" range:"128MiB..1024GiB"`
	// Sample is how many keys of the ledger, and how many rows, are compared.
	Sample int `key:"sample" default:"1000" range:"1..100000"`
}

// Pprof is the profiles of the running server.
type Pprof struct {
	// Listen is a loopback address that serves /debug/pprof/; empty serves it nowhere.
	// There is no credential, so it is never an address that others reach.
	Listen string `key:"listen" default:"" form:"loopback"`
}

// Log is what is written to standard error.
type Log struct {
	Level  string `key:"level" default:"info" oneof:"debug info warn error"`
	Format string `key:"format" default:"text" oneof:"text json"`
	// Requests writes one line a request.
	Requests bool `key:"requests" default:"true"`
}
