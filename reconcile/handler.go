package reconcile

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/httpserver"
)

// Bounds of the endpoint: so many days of receipts, and so many by default.
const (
	mostDays    = 400
	defaultDays = 30
)

// Handler serves GET /api/v1/reconcile.
type Handler struct {
	reconciler *Reconciler
	directory  *auth.Directory
	timeout    time.Duration
	turn       chan struct{} // one at a time: each keeps two cores of ClickHouse busy
}

// NewHandler makes the handler; timeout bounds one answer.
func NewHandler(reconciler *Reconciler, directory *auth.Directory, timeout time.Duration) *Handler {
	return &Handler{reconciler: reconciler, directory: directory, timeout: timeout, turn: make(chan struct{}, 1)}
}

// Register adds the endpoint.
func (h *Handler) Register(router fiber.Router) {
	router.Get("/api/v1/reconcile", h.get)
}

type shownDay struct {
	EventType  string `json:"eventType"`
	Day        string `json:"day"`
	Batches    uint64 `json:"batches"`
	Inserted   uint64 `json:"inserted"`
	Stored     uint64 `json:"stored"`
	Unanswered uint64 `json:"unanswered"`
}

type shownDifference struct {
	Kind      Kind   `json:"kind"`
	EventType string `json:"eventType"`
	Day       string `json:"day,omitempty"`
	Count     uint64 `json:"count"`
	What      string `json:"what"`
	Example   string `json:"example"`
	Explained string `json:"explained,omitempty"`
	Remedy    string `json:"remedy,omitempty"`
}

type shownReport struct {
	From        string            `json:"from"`
	To          string            `json:"to"`
	AsOf        string            `json:"asOf"`
	Complete    bool              `json:"complete"`
	Skipped     []string          `json:"skipped"`
	Receipts    []shownDay        `json:"receipts"`
	Leads       uint64            `json:"leadsCompared"`
	Keys        int               `json:"keysSampled"`
	Rows        int               `json:"rowsSampled"`
	Differences []shownDifference `json:"differences"`
}

func (r *Report) show() shownReport {
	s := shownReport{
		From: r.From.String(), To: r.To.String(), AsOf: r.At.String(), Complete: len(r.Skipped) == 0, Skipped: append([]string{}, r.Skipped...),
		Receipts: []shownDay{}, Leads: r.Leads, Keys: r.Keys, Rows: r.Rows, Differences: []shownDifference{},
	}
	for _, d := range r.Days {
		s.Receipts = append(s.Receipts, shownDay{d.EventType, d.Day, d.Batches, d.Inserted, d.Stored, d.Unanswered})
	}
	for _, d := range r.Differences {
		shown := shownDifference{d.Kind, d.EventType, d.Day, d.Count, d.Kind.What(), d.Example, d.Explained, d.Kind.Remedy()}
		if d.Explained != "" {
			shown.Remedy = ""
		}
		s.Differences = append(s.Differences, shown)
	}
	return s
}

// span reads the days of receipts that are asked for.
func span(given map[string]string, now time.Time) (from, to leadevents.Millis, err error) {
	to = leadevents.MillisOf(now)
	read := func(name string, otherwise leadevents.Millis) leadevents.Millis {
		if given[name] == "" {
			return otherwise
		}
		at, ok := leadevents.ParseMillis([]byte(given[name]))
		if !ok && err == nil {
			err = leadevents.Errorf(leadevents.InvalidRequest, "%s must be a time as RFC 3339 with an offset, such as 2026-05-12T18:34:00Z (a + in it is written %%2B)", name)
		}
		return at
	}
	to = read("to", to)
	from = read("from", max(to.Add(-defaultDays*24*time.Hour), 0))
	switch {
	case err != nil:
	case from >= to:
		err = leadevents.Errorf(leadevents.InvalidRequest, "from must be before to")
	case to.Add(-mostDays*24*time.Hour) > from:
		err = leadevents.Errorf(leadevents.InvalidRequest, "from and to may be %d days apart at most", mostDays)
	}
	return from, to, err
}

func (h *Handler) get(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, auth.Admin, "from", "to")
	if err != nil {
		return err
	}
	from, to, err := span(by.Parameters, time.Now())
	if err != nil {
		return err
	}
	if by.Forbidden != nil {
		return by.Forbidden
	}
	select {
	case h.turn <- struct{}{}:
	default:
		return leadevents.Errorf(leadevents.Unavailable, "another comparison is under way in this server, one at a time; send the same request again when it has ended")
	}
	defer func() { <-h.turn }()
	ctx, cancel := context.WithTimeout(httpserver.Context(c), h.timeout)
	defer cancel()
	report, err := h.reconciler.Look(ctx, by.Org, from, to, false)
	if err != nil {
		return err
	}
	return c.JSON(report.show())
}
