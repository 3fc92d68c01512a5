package query

import (
	"context"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v2"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/httpserver"
	"leadevents/query/report"
)

// ReportHandler serves /api/v1/reports.
type ReportHandler struct {
	store     ReportStore
	directory *auth.Directory
}

// NewReportHandler makes the handler.
func NewReportHandler(store ReportStore, directory *auth.Directory) *ReportHandler {
	return &ReportHandler{store, directory}
}

// maxQuestion bounds the JSON of a report's question: the contract's 10 MB.
const maxQuestion = 10 << 20

// Register adds the endpoints.
func (h *ReportHandler) Register(router fiber.Router) {
	ask := func(name string, handler fiber.Handler) {
		router.Post("/api/v1/reports/"+name, httpserver.Precheck(maxQuestion), handler)
	}
	ask("timeseries", answering(h, report.DecodeTimeseries, func(ctx context.Context, org leadevents.OrgID, q report.Timeseries) (any, error) {
		series, err := h.store.Timeseries(ctx, org, q)
		return shownTimeseries(q, series), err
	}))
	ask("breakdown", answering(h, report.DecodeBreakdown, func(ctx context.Context, org leadevents.OrgID, q report.Breakdown) (any, error) {
		parts, err := h.store.Breakdown(ctx, org, q)
		return breakdownJSON{shownRange(q.Range), q.EventType, q.Path, q.OrderBy, parts}, err
	}))
	ask("funnel", answering(h, report.DecodeFunnel, func(ctx context.Context, org leadevents.OrgID, q report.Funnel) (any, error) {
		ways, err := h.store.Funnel(ctx, org, q)
		return funnelJSON{shownRange(q.Range), ways}, err
	}))
	ask("retention", answering(h, report.DecodeRetention, func(ctx context.Context, org leadevents.OrgID, q report.Retention) (any, error) {
		cohorts, err := h.store.Retention(ctx, org, q)
		return shownRetention(q, cohorts), err
	}))
}

// answering reads a question and answers it while its client is there.
func answering[Q any](h *ReportHandler, decode func([]byte) (Q, error), answer func(context.Context, leadevents.OrgID, Q) (any, error)) fiber.Handler {
	return func(c *fiber.Ctx) error {
		by, err := h.directory.Asks(c, auth.Query)
		if err != nil {
			return err
		}
		var raw jsontext.Value
		if err := httpserver.ReadJSON(c, maxQuestion, &raw); err != nil {
			return err
		}
		question, err := decode(raw)
		if err != nil {
			return err
		}
		if by.Forbidden != nil {
			return by.Forbidden
		}
		ctx, stop := httpserver.Attended(c)
		defer stop()
		shown, err := answer(ctx, by.Org, question)
		if err != nil {
			return err
		}
		return c.JSON(shown)
	}
}
