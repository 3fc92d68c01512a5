package query

import (
	"context"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/httpserver"
	"leadevents/internal/limits"
	"leadevents/query/audience"
)

// maxDefinition bounds the JSON of a definition or preview: the contract's 10 MB.
const maxDefinition = 10 << 20

// maxMaterialize bounds the body of …/materialize, which needs none.
const maxMaterialize = 1 << 10

// SendHandler serves /api/v1/sends, previews, and the list filter's webhook.
type SendHandler struct {
	sends     *Sends
	directory *auth.Directory
	// organization finds the organizationId of a webhook's body before its signature
	// is checked, as it does for lead events.
	organization func(body []byte) (leadevents.OrgID, bool)
}

// NewSendHandler makes the handler.
func NewSendHandler(sends *Sends, directory *auth.Directory, organization func(body []byte) (leadevents.OrgID, bool)) *SendHandler {
	return &SendHandler{sends: sends, directory: directory, organization: organization}
}

// Register adds the endpoints.
func (h *SendHandler) Register(router fiber.Router) {
	router.Post("/api/v1/filters/preview", httpserver.Precheck(maxDefinition), h.preview)
	router.Post("/api/v1/webhooks/campaigns/audience-filter", httpserver.Precheck(auth.MaxWebhookBytes), h.filter)
	router.Put("/api/v1/sends/:sendId", httpserver.Precheck(maxDefinition), h.define)
	router.Get("/api/v1/sends/:sendId", h.get)
	router.Post("/api/v1/sends/:sendId/materialize", h.materialize)
	router.Get("/api/v1/sends/:sendId/leads", h.leads)
	router.Get("/api/v1/sends/:sendId/explain", h.explain)
}

// ofSend reads who asks, and about which send, in the contract's order: 401, 400.
func (h *SendHandler) ofSend(c *fiber.Ctx, names ...string) (by auth.Asker, id string, err error) {
	return h.ofSendFor(c, limits.Want{}, names...)
}

// ofSendFor is ofSend of what wants more of the organization's limits than a request.
func (h *SendHandler) ofSendFor(c *fiber.Ctx, want limits.Want, names ...string) (by auth.Asker, id string, err error) {
	if by, err = h.directory.AsksFor(c, auth.Campaigns, want, names...); err != nil {
		return by, "", err
	}
	if id, err = httpserver.Param(c, "sendId"); err == nil {
		err = audience.ValidateID(id, "sendId")
	}
	return by, id, err
}

func (h *SendHandler) preview(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, auth.Query)
	if err != nil {
		return err
	}
	var in previewJSON
	if err := httpserver.ReadJSON(c, maxDefinition, &in); err != nil {
		return err
	}
	d, err := (&definitionJSON{Audience: in.Audience, EventFilters: in.EventFilters, FireAt: in.FireAt}).definition()
	if err != nil {
		return err
	}
	if by.Forbidden != nil {
		return by.Forbidden
	}
	totals, fireAt, err := h.sends.Preview(httpserver.Context(c), by.Org, d.Audience, d.Filters, d.FireAt)
	if err != nil {
		return err
	}
	return c.JSON(struct {
		Total   uint64       `json:"total"`
		Kept    uint64       `json:"kept"`
		Dropped *droppedJSON `json:"dropped"`
		FireAt  string       `json:"fireAt"`
	}{totals.Total, totals.Kept, droppedOf(totals), fireAt.String()})
}

func (h *SendHandler) define(c *fiber.Ctx) error {
	by, id, err := h.ofSend(c)
	if err != nil {
		return err
	}
	var in definitionJSON
	if err := httpserver.ReadJSON(c, maxDefinition, &in); err != nil {
		return err
	}
	d, err := in.definition()
	if err != nil {
		return err
	}
	if by.Forbidden != nil {
		return by.Forbidden
	}
	send, created, err := h.sends.Define(by.Acting(httpserver.Context(c)), by.Org, id, d)
	if err != nil {
		return err
	}
	if created {
		c.Status(fiber.StatusCreated)
	}
	return c.JSON(shownSend(id, send))
}

func (h *SendHandler) get(c *fiber.Ctx) error {
	by, id, err := h.ofSend(c)
	if err != nil {
		return err
	}
	if by.Forbidden != nil {
		return by.Forbidden
	}
	send, err := h.sends.Send(httpserver.Context(c), by.Org, id)
	if err != nil {
		return err
	}
	shown := shownSend(id, send)
	if send.State == audience.SendMaterializing {
		done, of, err := h.sends.Progress(httpserver.Context(c), by.Org, id, send.Run)
		if err != nil {
			return err
		}
		shown.Progress = &progressJSON{done, of}
	}
	return c.JSON(shown)
}

func (h *SendHandler) materialize(c *fiber.Ctx) error {
	by, id, err := h.ofSend(c, "wait")
	if err != nil {
		return err
	}
	wait, err := httpserver.QueryFlag(by.Parameters, "wait")
	if err != nil {
		return err
	}
	if c.Request().Header.ContentLength() != 0 { // a field here would be taken for heard
		if err := httpserver.ReadJSON(c, maxMaterialize, &struct{}{}); err != nil {
			return err
		}
	}
	if by.Forbidden != nil {
		return by.Forbidden
	}
	send, err := h.sends.Materialize(by.Acting(httpserver.Context(c)), by.Org, id)
	if err != nil {
		return err
	}
	if !wait {
		return c.Status(fiber.StatusAccepted).JSON(struct {
			SendID string             `json:"sendId"`
			Status audience.SendState `json:"status"`
		}{id, send.State})
	}
	ctx, cancel := httpserver.Waiting(c)
	defer cancel()
	if send, err = h.sends.Wait(ctx, by.Org, id); err != nil {
		return err
	}
	return c.JSON(shownSend(id, send))
}

func (h *SendHandler) leads(c *fiber.Ctx) error {
	by, id, err := h.ofSendFor(c, limits.Want{Place: leadevents.ConcurrentExports}, "format")
	if err != nil {
		return err
	}
	name := by.Parameters["format"]
	if name == "" {
		name = "ndjson"
	}
	format, known := leadsFormats[name]
	if !known {
		return leadevents.Errorf(leadevents.InvalidRequest, "format must be one of %s", strings.Join(slices.Sorted(maps.Keys(leadsFormats)), ", "))
	}
	if by.Forbidden != nil {
		return by.Forbidden
	}
	return httpserver.Stream(c, format.contentType, func(ctx context.Context, w io.Writer) error {
		file := format.begin(w)
		if err := h.sends.Leads(by.Acting(ctx), by.Org, id, file.write); err != nil {
			return err
		}
		return file.end()
	})
}

func (h *SendHandler) explain(c *fiber.Ctx) error {
	by, id, err := h.ofSend(c, "phone")
	if err != nil {
		return err
	}
	// A + that was not escaped arrives as a space, which a phone may have around it.
	phone, err := leadevents.ParsePhone(by.Parameters["phone"])
	if err != nil {
		return leadevents.Errorf(leadevents.InvalidRequest, "the query parameter phone must be a possible phone number, as +15551234567")
	}
	if by.Forbidden != nil {
		return by.Forbidden
	}
	x, err := h.sends.Explain(httpserver.Context(c), by.Org, id, phone)
	if err != nil {
		return err
	}
	return c.JSON(shownExplanation(phone, x))
}

// filter receives a list filter, in the order of checks of lead events.
func (h *SendHandler) filter(c *fiber.Ctx) error {
	received, err := h.directory.ReceiveWebhook(c, auth.WebhookRules{Organization: h.organization})
	if err != nil {
		return err
	}
	defer received.Release()
	if err := received.Admit(0); err != nil {
		return err
	}
	if _, err := httpserver.QueryParameters(c); err != nil {
		return err
	}
	var in listJSON
	if err := httpserver.UnmarshalStrict(received.Plain, &in); err != nil {
		return err
	}
	mode, leads, err := in.read()
	if err != nil {
		return err
	}
	if err := received.Check(*in.OrganizationID); err != nil {
		return err
	}
	accepted, n, err := h.sends.Filter(received.Acting(c), received.Principal.Org, *in.SendID, mode, leads)
	if err != nil {
		return err
	}
	status := "already_received"
	if accepted {
		status = "accepted"
	}
	return c.JSON(struct {
		Status    string `json:"status"`
		LeadCount uint64 `json:"leadCount"`
	}{status, n})
}
