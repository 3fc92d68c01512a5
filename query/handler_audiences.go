package query

import (
	"github.com/gofiber/fiber/v2"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/httpserver"
	"leadevents/internal/limits"
	"leadevents/query/audience"
	"leadevents/query/upload"
)

// AudienceHandler serves /api/v1/audiences and what lies below it.
type AudienceHandler struct {
	audiences *Audiences
	directory *auth.Directory
}

// NewAudienceHandler makes the handler.
func NewAudienceHandler(audiences *Audiences, directory *auth.Directory) *AudienceHandler {
	return &AudienceHandler{audiences: audiences, directory: directory}
}

// Register adds the endpoints.
func (h *AudienceHandler) Register(router fiber.Router) {
	precheck := httpserver.Precheck(httpserver.NoLimit, upload.MediaTypes()...)
	router.Get("/api/v1/audiences", h.list)
	router.Get("/api/v1/audiences/:audienceId", h.get)
	router.Delete("/api/v1/audiences/:audienceId", h.delete)
	router.Put("/api/v1/audiences/:audienceId/leads", precheck, h.replace)
	router.Post("/api/v1/audiences/:audienceId/leads", precheck, h.add)
}

// audienceJSON is an audience as clients see it.
type audienceJSON struct {
	ID        string `json:"audienceId"`
	Leads     uint64 `json:"leads"`
	CreatedAt string `json:"createdAt"`
	UpdatedAt string `json:"updatedAt"`
}

func shownAudience(a leadevents.Audience) audienceJSON {
	return audienceJSON{ID: a.ID, Leads: a.Leads, CreatedAt: a.CreatedAt.String(), UpdatedAt: a.ChangedAt.String()}
}

// uploadedJSON is the answer of API.md 3.
type uploadedJSON struct {
	ID         string                   `json:"audienceId"`
	Received   uint64                   `json:"received"`
	Stored     uint64                   `json:"stored"`
	Duplicates uint64                   `json:"duplicates"`
	Rejected   uint64                   `json:"rejected"`
	Rejects    []leadevents.ShownReject `json:"rejects"`
}

// named reads who asks, and for which audience, in the contract's order: 401,
// 400, 403.
func (h *AudienceHandler) named(c *fiber.Ctx) (by auth.Asker, id string, err error) {
	return h.namedFor(c, limits.Want{})
}

// namedFor is named of what wants more of the organization's limits than a request.
func (h *AudienceHandler) namedFor(c *fiber.Ctx, want limits.Want) (by auth.Asker, id string, err error) {
	if by, err = h.directory.AsksFor(c, auth.Campaigns, want); err != nil {
		return by, "", err
	}
	if id, err = httpserver.Param(c, "audienceId"); err != nil {
		return by, "", err
	}
	if err := audience.ValidateID(id, "audienceId"); err != nil {
		return by, "", err
	}
	return by, id, by.Forbidden
}

func (h *AudienceHandler) get(c *fiber.Ctx) error {
	by, id, err := h.named(c)
	if err != nil {
		return err
	}
	audience, err := h.audiences.Audience(httpserver.Context(c), by.Org, id)
	if err != nil {
		return err
	}
	return c.JSON(shownAudience(audience))
}

func (h *AudienceHandler) delete(c *fiber.Ctx) error {
	by, id, err := h.named(c)
	if err != nil {
		return err
	}
	if err := h.audiences.Delete(by.Acting(httpserver.Context(c)), by.Org, id); err != nil {
		return err
	}
	c.Status(fiber.StatusNoContent)
	return nil
}

func (h *AudienceHandler) list(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, auth.Campaigns, "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := limit(by, DefaultAudiences, MaxAudiences)
	if err != nil {
		return err
	}
	if by.Forbidden != nil { // a cursor is an organization's
		return by.Forbidden
	}
	after := ""
	if text := by.Parameters["cursor"]; text != "" {
		if after, err = readCursor("a1", by.Org, text); err != nil {
			return err
		}
	}
	found, more, err := h.audiences.List(httpserver.Context(c), by.Org, after, limit)
	if err != nil {
		return err
	}
	answer := struct {
		Audiences []audienceJSON `json:"audiences"`
		Next      *string        `json:"nextCursor"` // null at the end
	}{Audiences: make([]audienceJSON, len(found))}
	for i, a := range found {
		answer.Audiences[i] = shownAudience(a)
	}
	if more {
		next := writeCursor("a1", by.Org, found[len(found)-1].ID)
		answer.Next = &next
	}
	return c.JSON(answer)
}

func (h *AudienceHandler) replace(c *fiber.Ctx) error { return h.upload(c, true) }

func (h *AudienceHandler) add(c *fiber.Ctx) error { return h.upload(c, false) }

func (h *AudienceHandler) upload(c *fiber.Ctx, replace bool) error {
	mediaType, err := httpserver.CheckContentType(c, upload.MediaTypes()...)
	if err != nil {
		return err
	}
	by, id, err := h.namedFor(c, limits.Want{Rows: limits.SomeRows})
	if err != nil {
		return err
	}
	ctx, most := httpserver.Context(c), 0
	if by.Limits != nil {
		most = by.Limits[leadevents.StoredAudiences]
	}
	if err := h.audiences.RoomFor(ctx, by.Org, id, most); err != nil {
		return err
	}
	leave, err := h.audiences.Enter()
	if err != nil {
		return err
	}
	defer leave()
	body, err := httpserver.StreamBody(c)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	rows, err := upload.New(mediaType, body)
	if err != nil {
		return err
	}
	if by.Limits != nil {
		metered := &meter{Reader: rows, charge: func(n int) { h.directory.Charge(ctx, by, n) }}
		defer metered.end() // of an upload that is given up
		rows = metered
	}
	result, err := h.audiences.Upload(by.Acting(ctx), by.Org, id, rows, replace, most)
	if err != nil {
		return err
	}
	answer := uploadedJSON{
		ID: id, Received: result.Received, Stored: result.Stored, Duplicates: result.Duplicates, Rejected: result.Rejected,
		Rejects: make([]leadevents.ShownReject, len(result.Rejects)),
	}
	for i := range result.Rejects {
		answer.Rejects[i] = result.Rejects[i].Show()
	}
	return c.JSON(answer)
}
