package clickhouse

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"leadevents"
	"leadevents/clickhouse/analyst"
)

// AnalystConfig says how organizations' own SQL reaches ClickHouse: over HTTP, where
// ClickHouse writes the formats itself.
type AnalystConfig struct {
	HTTPAddrs []string // host:port; the first that answers is used
	// Pool is how many users were made ahead, on an engine that cannot make any; 0 makes
	// one for each organization.
	Pool   int
	Limits analyst.Limits
	// Dial, if set, makes the connections, as Config.Dial does.
	Dial func(ctx context.Context, addr string) (net.Conn, error)
}

// Analysts runs statements as the organizations' own database users (package
// analyst). What they may say is judged elsewhere (query/statement).
type Analysts struct {
	db     *DB
	cfg    AnalystConfig
	client *http.Client

	mu       sync.Mutex
	accounts map[leadevents.OrgID]*madeAccount

	ending sync.WaitGroup // of queries that are being ended
}

// madeAccount is an organization's account, once it is there.
type madeAccount struct {
	mu      sync.Mutex
	account analyst.Account
	at      time.Time // when it was last seen to be there; zero: never
}

// accountDoubt is how long an account that was just seen to be there is not looked for
// again, whatever a statement says: what it names may not exist.
const accountDoubt = 10 * time.Second

func newAnalysts(db *DB, cfg AnalystConfig, dial func(ctx context.Context, addr string) (net.Conn, error)) *Analysts {
	a := &Analysts{db: db, cfg: cfg, accounts: map[leadevents.OrgID]*madeAccount{}}
	a.client = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var failures []error
			for _, addr := range cfg.HTTPAddrs {
				conn, err := dial(ctx, addr)
				if err == nil {
					return conn, nil
				}
				failures = append(failures, err)
			}
			return nil, errors.Join(failures...)
		},
		DisableCompression: true,
		MaxIdleConns:       16, MaxIdleConnsPerHost: 16,
		// Less than the server's keep_alive_timeout, 3 s of the embedded engine's.
		IdleConnTimeout: 2 * time.Second,
	}}
	return a
}

func (a *Analysts) close() {
	a.ending.Wait()
	a.client.CloseIdleConnections()
}

// account is the organization's; it is made when it is first needed. Anew says that
// there is a doubt whether it still is there.
func (a *Analysts) account(ctx context.Context, org leadevents.OrgID, anew bool) (analyst.Account, error) {
	a.mu.Lock()
	made := a.accounts[org]
	if made == nil {
		made = &madeAccount{}
		a.accounts[org] = made
	}
	a.mu.Unlock()
	made.mu.Lock()
	defer made.mu.Unlock()
	if !made.at.IsZero() && (!anew || time.Since(made.at) < accountDoubt) {
		return made.account, nil
	}
	build := a.own
	if a.cfg.Pool > 0 {
		build = a.pooled
	}
	account, err := build(ctx, org)
	if err != nil {
		return analyst.Account{}, fmt.Errorf("make the analyst's user of organization %d: %w", org, err)
	}
	made.account, made.at = account, time.Now()
	return account, nil
}

// own makes the organization's user. Every step may be done twice, and by two
// processes at once.
func (a *Analysts) own(ctx context.Context, org leadevents.OrgID) (analyst.Account, error) {
	account := analyst.Own(a.db.database, a.db.password, org)
	return account, a.makeUser(ctx, org, account)
}

// makeUser makes an account's database, view and user, as far as they are not there.
func (a *Analysts) makeUser(ctx context.Context, org leadevents.OrgID, account analyst.Account) error {
	if err := a.exec(ctx, analyst.Database(account)); err != nil {
		return err
	}
	comment, err := a.viewComment(ctx, account)
	if err != nil {
		return err
	}
	if comment != analyst.ViewComment(a.db.database, org) {
		if err := a.exec(ctx, analyst.View(a.db.database, account, org, true)); err != nil {
			return err
		}
	}
	for _, statement := range analyst.MakeUser(account, a.cfg.Limits) {
		if err := a.exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// MakeOutside makes the user of the organization's tools outside, or gives it another
// password; DropOutside ends it.
func (a *Analysts) MakeOutside(ctx context.Context, org leadevents.OrgID) (analyst.Account, error) {
	if err := a.makesUsers(); err != nil {
		return analyst.Account{}, err
	}
	account := analyst.Outside(a.db.database, org)
	return account, a.makeUser(ctx, org, account)
}

// DropOutside ends the user of the organization's tools outside; of none it is done.
func (a *Analysts) DropOutside(ctx context.Context, org leadevents.OrgID) (analyst.Account, error) {
	if err := a.makesUsers(); err != nil {
		return analyst.Account{}, err
	}
	account := analyst.Outside(a.db.database, org)
	return account, a.exec(ctx, analyst.DropUser(account))
}

func (a *Analysts) makesUsers() error {
	if a.cfg.Pool > 0 {
		return leadevents.Errorf(leadevents.Conflict, "this ClickHouse makes no users (sql.user_pool is %d, as for dev): a tool outside needs a ClickHouse server", a.cfg.Pool)
	}
	return nil
}

func (a *Analysts) viewComment(ctx context.Context, account analyst.Account) (string, error) {
	var comment string
	err := a.db.conn.QueryRow(params(ctx, clickhouse.Parameters{"database": account.Database}), sqlText("analyst_view")).Scan(&comment)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", unavailable(fmt.Errorf("look for the view in %s: %w", account.Database, err))
	}
	return comment, nil
}

// pooled finds the organization's account among those made ahead, or takes the first
// that is free: whose view can be created has it. Two processes may take two for one
// organization; the first counts from then on, and the other stays unused.
func (a *Analysts) pooled(ctx context.Context, org leadevents.OrgID) (analyst.Account, error) {
	taken, err := a.taken(ctx)
	if err != nil {
		return analyst.Account{}, err
	}
	want := analyst.ViewComment(a.db.database, org)
	free := -1
	for i := range a.cfg.Pool {
		account := analyst.Pooled(a.db.password, i)
		switch comment, there := taken[account.Database]; {
		case comment == want:
			return account, nil
		case there && sameView(comment, want): // of another version
			return account, a.exec(ctx, analyst.View(a.db.database, account, org, true))
		case !there && free < 0:
			free = i
		}
	}
	for i := free; i >= 0 && i < a.cfg.Pool; i++ {
		account := analyst.Pooled(a.db.password, i)
		if _, there := taken[account.Database]; there {
			continue
		}
		if err := a.exec(ctx, analyst.Database(account)); err != nil {
			return account, err
		}
		err := a.exec(ctx, analyst.View(a.db.database, account, org, false))
		if exception, ok := errors.AsType[*clickhouse.Exception](err); ok && exception.Code == codeTableExists {
			continue // somebody else was first
		}
		return account, err
	}
	return analyst.Account{}, leadevents.Errorf(leadevents.Unavailable, "all %d database users for SQL have their organization (sql.user_pool)", a.cfg.Pool)
}

// sameView compares comments but for their version.
func sameView(a, b string) bool {
	_, a, _ = strings.Cut(a, ": ")
	_, b, _ = strings.Cut(b, ": ")
	return a == b
}

// taken is the comments of the views in the pool's databases.
func (a *Analysts) taken(ctx context.Context) (map[string]string, error) {
	taken := map[string]string{}
	err := a.db.stream(ctx, "analyst_pool", clickhouse.Parameters{"pattern": analyst.PoolPattern}, func(rows driver.Rows) error {
		var database, comment string
		if err := rows.Scan(&database, &comment); err != nil {
			return err
		}
		taken[database] = comment
		return nil
	})
	return taken, err
}

func (a *Analysts) exec(ctx context.Context, statement string) error {
	if err := a.db.conn.Exec(ctx, statement); err != nil {
		what, _, _ := strings.Cut(statement, "`") // not the password's hash
		return unavailable(fmt.Errorf("%s…: %w", strings.TrimSpace(what), err))
	}
	return nil
}

// Functions lists the functions of the server.
func (a *Analysts) Functions(ctx context.Context) ([]string, error) {
	return a.texts(ctx, "functions", nil)
}

// Limits is what a statement may take.
func (a *Analysts) Limits() analyst.Limits { return a.cfg.Limits.WithDefaults() }

// end ends a query that nobody waits for any more. It does not wait itself.
func (a *Analysts) end(id string) {
	a.ending.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), endLimit)
		defer cancel()
		// The server notices by itself too, when it next writes or looks.
		_ = a.db.conn.Exec(params(ctx, clickhouse.Parameters{"id": id}), "KILL QUERY WHERE query_id = {id:String} ASYNC FORMAT Null")
	})
}

// endLimit bounds an attempt to end a query.
const endLimit = 3 * time.Second
