package query

import (
	"github.com/gofiber/fiber/v2"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/httpserver"
)

// RunHandler serves GET /api/v1/runs and what lies below it.
type RunHandler struct {
	runs      *Runs
	directory *auth.Directory
}

// NewRunHandler makes the handler.
func NewRunHandler(runs *Runs, directory *auth.Directory) *RunHandler {
	return &RunHandler{runs: runs, directory: directory}
}

// Register adds the endpoints.
func (h *RunHandler) Register(router fiber.Router) {
	router.Get("/api/v1/runs", h.list)
	router.Get("/api/v1/runs/:run", h.get)
}

// runJSON is a run as clients see it.
type runJSON struct {
	Run        string              `json:"run"`
	State      leadevents.RunState `json:"state"`
	Batches    uint64              `json:"batches"`
	Undone     uint64              `json:"undoneBatches"`
	Received   uint64              `json:"received"`
	Inserted   uint64              `json:"inserted"`
	Duplicates uint64              `json:"duplicates"`
	Rejected   uint64              `json:"rejected"`
	FirstAt    string              `json:"firstAt"`
	LastAt     string              `json:"lastAt"`
}

func shownRun(r leadevents.Run) runJSON {
	return runJSON{
		Run: r.ID, State: r.State(), Batches: r.Batches, Undone: r.Undone,
		Received: r.Received, Inserted: r.Inserted, Duplicates: r.Duplicates, Rejected: r.Rejected,
		FirstAt: r.FirstAt.String(), LastAt: r.LastAt.String(),
	}
}

func (h *RunHandler) get(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, auth.Query)
	if err != nil {
		return err
	}
	id, err := httpserver.Param(c, "run")
	if err == nil {
		err = by.Forbidden
	}
	if err != nil {
		return err
	}
	run, err := h.runs.Run(httpserver.Context(c), by.Org, id)
	if err != nil {
		return err
	}
	return c.JSON(shownRun(run))
}

func (h *RunHandler) list(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, auth.Query, "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := limit(by, DefaultRuns, MaxRuns)
	if err != nil {
		return err
	}
	if by.Forbidden != nil { // a cursor is an organization's
		return by.Forbidden
	}
	var after leadevents.RunPosition
	if text := by.Parameters["cursor"]; text != "" {
		if after, err = parseRunCursor(by.Org, text); err != nil {
			return err
		}
	}
	runs, next, err := h.runs.List(httpserver.Context(c), by.Org, after, limit)
	if err != nil {
		return err
	}
	answer := struct {
		Runs []runJSON `json:"runs"`
		Next *string   `json:"nextCursor"` // null at the end
	}{Runs: make([]runJSON, len(runs))}
	for i, r := range runs {
		answer.Runs[i] = shownRun(r)
	}
	if next != (leadevents.RunPosition{}) {
		text := runCursor(by.Org, next)
		answer.Next = &text
	}
	return c.JSON(answer)
}
