package query

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"slices"

	"github.com/gofiber/fiber/v2"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/httpserver"
)

// BatchHandler serves GET /api/v1/batches and what lies below it.
type BatchHandler struct {
	batches   *Batches
	directory *auth.Directory
}

// NewBatchHandler makes the handler.
func NewBatchHandler(batches *Batches, directory *auth.Directory) *BatchHandler {
	return &BatchHandler{batches: batches, directory: directory}
}

// Register adds the endpoints.
func (h *BatchHandler) Register(router fiber.Router) {
	router.Get("/api/v1/batches", h.list)
	router.Get("/api/v1/batches/:batchId", h.get)
	router.Get("/api/v1/batches/:batchId/rejects", h.rejects)
}

// batchJSON is a receipt as clients see it.
type batchJSON struct {
	Batch          string                `json:"batchId"`
	State          leadevents.BatchState `json:"state"`
	EventType      string                `json:"eventType,omitempty"`
	Received       int                   `json:"received"`
	Inserted       int                   `json:"inserted"`
	Duplicates     int                   `json:"duplicates"`
	Rejected       int                   `json:"rejected"`
	Conflicts      *int                  `json:"conflicts,omitempty"` // absent where nobody looked
	ConflictRows   []uint32              `json:"conflictRows,omitempty"`
	CreatedAt      string                `json:"createdAt"`
	FinishedAt     *string               `json:"finishedAt"` // null while it is running
	Key            string                `json:"keyId,omitempty"`
	IdempotencyKey string                `json:"idempotencyKey,omitempty"`
	Run            string                `json:"run,omitempty"`
	BodyHash       string                `json:"bodySha256"` // the first half, hex
}

func shown(r leadevents.Receipt) batchJSON {
	b := batchJSON{
		Batch: r.Batch.String(), State: r.State, EventType: r.EventType,
		Received: r.Received, Inserted: r.Inserted, Duplicates: r.Duplicates, Rejected: r.Rejected,
		CreatedAt: r.CreatedAt.String(), Key: r.KeyID, IdempotencyKey: r.IdempotencyKey, Run: r.RunID, BodyHash: hex.EncodeToString(r.BodyHash[:]),
	}
	if r.Conflicts != nil {
		b.Conflicts, b.ConflictRows = &r.Conflicts.Count, r.Conflicts.Rows
	}
	if r.FinishedAt != 0 {
		text := r.FinishedAt.String()
		b.FinishedAt = &text
	}
	return b
}

// receipt reads the batch that the path names, with up to rejects of its rejects.
func (h *BatchHandler) receipt(c *fiber.Ctx, rejects int) (leadevents.Receipt, error) {
	by, err := h.directory.Asks(c, auth.Query)
	if err != nil {
		return leadevents.Receipt{}, err
	}
	id, err := httpserver.Param(c, "batchId")
	if err == nil {
		err = by.Forbidden
	}
	if err != nil {
		return leadevents.Receipt{}, err
	}
	return h.batches.Batch(httpserver.Context(c), by.Org, id, rejects)
}

func (h *BatchHandler) get(c *fiber.Ctx) error {
	receipt, err := h.receipt(c, 0)
	if err != nil {
		return err
	}
	return c.JSON(shown(receipt))
}

// rejects writes all of them. They are held here whole: a call has at most 50,000
// rows, each reject about a hundred bytes, and so no answer breaks off in between.
func (h *BatchHandler) rejects(c *fiber.Ctx) error {
	receipt, err := h.receipt(c, leadevents.MaxEvents)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	lines := json.NewEncoder(&out)
	lines.SetEscapeHTML(false)
	for i := range receipt.Rejects {
		if err := lines.Encode(receipt.Rejects[i].Show()); err != nil {
			return err
		}
	}
	end := struct {
		End     bool `json:"end"`
		Rejects int  `json:"rejects"`
	}{true, len(receipt.Rejects)}
	if err := lines.Encode(end); err != nil {
		return err
	}
	c.Set(fiber.HeaderContentType, "application/x-ndjson")
	c.Context().Response.SetBodyRaw(out.Bytes())
	return nil
}

func (h *BatchHandler) list(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, auth.Query, "from", "to", "eventType", "state", "keyId", "bodySha256", "idempotencyKey", "run", "limit", "cursor")
	if err != nil {
		return err
	}
	given := by.Parameters
	which := leadevents.BatchFilter{EventType: given["eventType"], KeyID: given["keyId"], IdempotencyKey: given["idempotencyKey"], RunID: given["run"]}
	if which.From, err = moment("from", given["from"]); err != nil {
		return err
	}
	if which.To, err = moment("to", given["to"]); err != nil {
		return err
	}
	if given["to"] != "" {
		which.To = max(which.To, 1) // 1970 is before all batches, and zero would be no end
	}
	if text := given["state"]; text != "" {
		which.State = leadevents.BatchState(text)
		if !slices.Contains([]leadevents.BatchState{leadevents.BatchRunning, leadevents.BatchDone, leadevents.BatchUndone}, which.State) {
			return leadevents.Errorf(leadevents.InvalidRequest, "state must be %s, %s or %s", leadevents.BatchRunning, leadevents.BatchDone, leadevents.BatchUndone)
		}
	}
	if which.RunID != "" && !leadevents.IsRunID(which.RunID) {
		return errRunID
	}
	if text := given["bodySha256"]; text != "" {
		if which.BodyHash, err = ParseBodyHash(text); err != nil {
			return err
		}
	}
	limit, err := limit(by, DefaultBatches, MaxBatches)
	if err != nil {
		return err
	}
	if by.Forbidden != nil { // a cursor is an organization's
		return by.Forbidden
	}
	var after leadevents.BatchPosition
	if text := given["cursor"]; text != "" {
		if after, err = parseBatchCursor(by.Org, text); err != nil {
			return err
		}
	}
	receipts, next, err := h.batches.List(httpserver.Context(c), by.Org, which, after, limit)
	if err != nil {
		return err
	}
	answer := struct {
		Batches []batchJSON `json:"batches"`
		Next    *string     `json:"nextCursor"` // null at the end
	}{Batches: make([]batchJSON, len(receipts))}
	for i, r := range receipts {
		answer.Batches[i] = shown(r)
	}
	if next != (leadevents.BatchPosition{}) {
		text := batchCursor(by.Org, next)
		answer.Next = &text
	}
	return c.JSON(answer)
}
