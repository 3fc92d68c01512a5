package journal

import (
	"github.com/gofiber/fiber/v2"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/httpserver"
)

// UndoHandler serves the undo of batches and runs.
type UndoHandler struct {
	undos     *Undos
	directory *auth.Directory
}

// NewUndoHandler makes the handler.
func NewUndoHandler(undos *Undos, directory *auth.Directory) *UndoHandler {
	return &UndoHandler{undos, directory}
}

// Register adds the endpoints.
func (h *UndoHandler) Register(router fiber.Router) {
	router.Delete("/api/v1/batches/:batchId", h.batch)
	router.Delete("/api/v1/runs/:run", h.run)
}

// ShownUndo is the undo of a batch as clients see it; times that were not reached are null.
type ShownUndo struct {
	Batch          string    `json:"batchId"`
	Run            string    `json:"run,omitempty"`
	State          UndoState `json:"state"`
	Keys           uint64    `json:"keys"` // that it removes; 0 until they were looked for
	Verified       bool      `json:"verified"`
	RequestedAt    string    `json:"requestedAt"`
	UndoneAt       *string   `json:"undoneAt"`
	VerifiedAt     *string   `json:"verifiedAt"`
	GoneFromDisk   *string   `json:"goneFromDiskAt"`
	GoneFromDiskBy *string   `json:"goneFromDiskBy"`
}

// Show is what clients see.
func (s UndoStatus) Show() ShownUndo {
	return ShownUndo{
		Batch: s.Batch.String(), Run: s.RunID, State: s.State, Keys: s.Counts[Keys], Verified: s.VerifiedAt != 0, RequestedAt: s.RequestedAt.String(),
		UndoneAt: reached(s.UndoneAt), VerifiedAt: reached(s.VerifiedAt), GoneFromDisk: reached(s.GoneAt), GoneFromDiskBy: reached(s.GoneBy),
	}
}

// ShownRun is the undo of a run as clients see it.
type ShownRun struct {
	Run     string              `json:"run"`
	State   leadevents.RunState `json:"state"`
	Batches uint64              `json:"batches"`
	Undone  uint64              `json:"undoneBatches"`
	Undoing uint64              `json:"undoingBatches"`
}

// asked is how an undo was asked for.
type asked struct {
	auth.Asker
	id          string
	force, wait bool
}

// asks reads who asks, about what and how: 401, 400, 403.
func (h *UndoHandler) asks(c *fiber.Ctx, parameter string) (a asked, err error) {
	if a.Asker, err = h.directory.Asks(c, auth.Admin, "force", "wait"); err != nil {
		return a, err
	}
	if a.id, err = httpserver.Param(c, parameter); err != nil {
		return a, err
	}
	if a.force, err = httpserver.QueryFlag(a.Parameters, "force"); err != nil {
		return a, err
	}
	if a.wait, err = httpserver.QueryFlag(a.Parameters, "wait"); err != nil {
		return a, err
	}
	if err = noBody(c); err != nil {
		return a, err
	}
	return a, a.Forbidden
}

func (h *UndoHandler) batch(c *fiber.Ctx) error {
	by, err := h.asks(c, "batchId")
	if err != nil {
		return err
	}
	batch, err := leadevents.ParseBatchID(by.id)
	if err != nil {
		return errNoSuchBatch
	}
	status, err := h.undos.Undo(by.Acting(httpserver.Context(c)), by.Org, batch, by.force)
	if err != nil {
		return err
	}
	if by.wait && status.State != BatchUndone {
		ctx, cancel := httpserver.Waiting(c)
		defer cancel()
		if status, err = h.undos.Wait(ctx, by.Org, batch); err != nil {
			return err
		}
	}
	if !by.wait {
		c.Status(fiber.StatusAccepted)
	}
	return c.JSON(status.Show())
}

func (h *UndoHandler) run(c *fiber.Ctx) error {
	by, err := h.asks(c, "run")
	if err != nil {
		return err
	}
	run, err := h.undos.UndoRun(by.Acting(httpserver.Context(c)), by.Org, by.id, by.force)
	if err != nil {
		return err
	}
	if by.wait && run.State() == leadevents.RunUndoing {
		ctx, cancel := httpserver.Waiting(c)
		defer cancel()
		if run, err = h.undos.WaitRun(ctx, by.Org, by.id); err != nil {
			return err
		}
	}
	if !by.wait {
		c.Status(fiber.StatusAccepted)
	}
	return c.JSON(ShownRun{Run: run.ID, State: run.State(), Batches: run.Batches, Undone: run.Undone, Undoing: run.Undoing})
}
