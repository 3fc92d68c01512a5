package query

import (
	"context"
	"time"

	"github.com/gofiber/fiber/v2"

	"leadevents/auth"
	"leadevents/internal/httpserver"
)

// AuditHandler serves GET /api/v1/audit.
type AuditHandler struct {
	log       *AuditLog
	directory *auth.Directory
	// settle waits for entries that are being written behind answers.
	settle func(ctx context.Context) error
}

// NewAuditHandler makes the handler.
func NewAuditHandler(log *AuditLog, directory *auth.Directory, settle func(ctx context.Context) error) *AuditHandler {
	return &AuditHandler{log: log, directory: directory, settle: settle}
}

// settleLimit bounds the wait for entries that are being written.
const settleLimit = time.Second

// Register adds the endpoint.
func (h *AuditHandler) Register(router fiber.Router) {
	router.Get("/api/v1/audit", h.list)
}

func (h *AuditHandler) list(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, auth.Admin, "from", "to", "action", "actor", "limit", "cursor")
	if err != nil {
		return err
	}
	given := by.Parameters
	which, err := ParseAuditFilter(given["from"], given["to"], given["action"], given["actor"])
	if err != nil {
		return err
	}
	limit, err := limit(by, DefaultAuditEntries, MaxAuditEntries)
	if err != nil {
		return err
	}
	if by.Forbidden != nil { // a cursor is an organization's
		return by.Forbidden
	}
	// Whoever was just answered finds what came of it. Late entries are no reason not to
	// show the others.
	settling, cancel := context.WithTimeout(httpserver.Context(c), settleLimit)
	_ = h.settle(settling)
	cancel()
	found, next, err := h.log.Entries(httpserver.Context(c), by.Org, which, given["cursor"], limit)
	if err != nil {
		return err
	}
	answer := struct {
		Entries []ShownAuditEntry `json:"entries"`
		Next    *string           `json:"nextCursor"` // null at the end
	}{Entries: make([]ShownAuditEntry, len(found))}
	for i, e := range found {
		if e, err = withoutReading(e); err != nil {
			return err
		}
		answer.Entries[i] = ShowAuditEntry(e)
	}
	if next != "" {
		answer.Next = &next
	}
	return c.JSON(answer)
}
