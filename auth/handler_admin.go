package auth

import (
	"context"
	"errors"
	"time"

	"github.com/gofiber/fiber/v2"

	"leadevents"
	"leadevents/audit"
	"leadevents/internal/httpserver"
)

// maxAdministration bounds the bodies of administration: the contract's 10 MB.
const maxAdministration = 10 << 20

// AdminHandler serves API.md 6: organizations, and the settings and keys of one.
type AdminHandler struct {
	directory *Directory
	operator  OperatorToken
}

// NewAdminHandler makes the handler; the zero operator token closes /admin.
func NewAdminHandler(directory *Directory, operator OperatorToken) *AdminHandler {
	return &AdminHandler{directory: directory, operator: operator}
}

// Register adds the endpoints.
func (h *AdminHandler) Register(router fiber.Router) {
	precheck := httpserver.Precheck(maxAdministration)
	router.Post("/api/v1/admin/organizations", precheck, h.createOrganization)
	router.Get("/api/v1/admin/organizations", h.organizations)
	router.Get("/api/v1/admin/organizations/:organizationId/limits", h.organizationLimits)
	router.Put("/api/v1/admin/organizations/:organizationId/limits", precheck, h.setOrganizationLimits)
	router.Get("/api/v1/settings/limits", h.limits)
	router.Get("/api/v1/settings/webhooks", h.webhookSettings)
	router.Put("/api/v1/settings/webhooks", precheck, h.setWebhookSettings)
	router.Post("/api/v1/api-keys", precheck, h.createKey)
	router.Get("/api/v1/api-keys", h.keys)
	router.Delete("/api/v1/api-keys/:id", h.revokeKey)
	router.Post("/api/v1/signing-keys", precheck, h.createSigningKey)
	router.Get("/api/v1/signing-keys", h.signingKeys)
	router.Delete("/api/v1/signing-keys/:id", h.revokeSigningKey)
}

// operates refuses whoever is not the operator.
func (h *AdminHandler) operates(c *fiber.Ctx) error {
	if err := h.operator.Check(c.Get(fiber.HeaderAuthorization)); err != nil {
		return err
	}
	_, err := httpserver.QueryParameters(c)
	return err
}

// operating is a context in which what the audit log has to tell is told of the
// operator.
func operating(c *fiber.Ctx) context.Context {
	return audit.WithActor(httpserver.Context(c), audit.Actor{
		Type: audit.Operator, Client: httpserver.ClientAddress(c), RequestID: httpserver.RequestID(c),
	})
}

// reveal answers with what is shown this once; as with every answer, no cache on the
// way keeps it.
func reveal(c *fiber.Ctx, answer any) error {
	return c.Status(fiber.StatusCreated).JSON(answer)
}

func (h *AdminHandler) createOrganization(c *fiber.Ctx) error {
	if err := h.operates(c); err != nil {
		return err
	}
	var in struct {
		Name string            `json:"name"`
		ID   *leadevents.OrgID `json:"organizationId"`
	}
	if err := httpserver.ReadJSON(c, maxAdministration, &in); err != nil {
		return err
	}
	var id leadevents.OrgID // zero: the next one
	if in.ID != nil {
		if id = *in.ID; id == 0 {
			return leadevents.Errorf(leadevents.InvalidRequest, "organizationId must be a positive integer")
		}
	}
	o, err := h.directory.CreateOrganization(operating(c), in.Name, id)
	if err != nil {
		return err
	}
	return reveal(c, o.Reveal())
}

func (h *AdminHandler) organizations(c *fiber.Ctx) error {
	if err := h.operates(c); err != nil {
		return err
	}
	all, err := h.directory.Organizations(httpserver.Context(c))
	if err != nil {
		return err
	}
	answer := struct {
		Organizations []ShownOrganization `json:"organizations"`
	}{make([]ShownOrganization, len(all))}
	for i, o := range all {
		answer.Organizations[i] = o.Show()
	}
	return c.JSON(answer)
}

// webhookSettingsJSON is how an organization's webhooks prove themselves. Without
// replayToleranceSeconds a PUT leaves that as it is: a client that knows of auth modes
// alone must not switch the protection off.
type webhookSettingsJSON struct {
	AuthMode               Mode   `json:"authMode"`
	ReplayToleranceSeconds *int64 `json:"replayToleranceSeconds"`
}

func (in webhookSettingsJSON) settings() (WebhookSettings, error) {
	s := WebhookSettings{AuthMode: in.AuthMode}
	if n := in.ReplayToleranceSeconds; n != nil {
		// Cut to what a duration holds; one more than the limit is refused like any.
		d := time.Duration(min(max(*n, -1), seconds(MaxReplayTolerance)+1)) * time.Second
		s.ReplayTolerance = &d
	}
	return s, s.check()
}

func showWebhookSettings(o Organization) webhookSettingsJSON {
	n := seconds(o.ReplayTolerance)
	return webhookSettingsJSON{o.AuthMode, &n}
}

func (h *AdminHandler) webhookSettings(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, Admin)
	if err == nil {
		err = by.Forbidden
	}
	if err != nil {
		return err
	}
	o, err := h.directory.Organization(httpserver.Context(c), by.Org)
	if err != nil {
		return err
	}
	return c.JSON(showWebhookSettings(o))
}

func (h *AdminHandler) setWebhookSettings(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, Admin)
	if err != nil {
		return err
	}
	var in webhookSettingsJSON
	if err := httpserver.ReadJSON(c, maxAdministration, &in); err != nil {
		return err
	}
	settings, err := in.settings()
	if err != nil {
		return err
	}
	if by.Forbidden != nil {
		return by.Forbidden
	}
	o, err := h.directory.SetWebhooks(by.Acting(httpserver.Context(c)), by.Org, settings)
	if err != nil {
		return err
	}
	return c.JSON(showWebhookSettings(o))
}

func (h *AdminHandler) createKey(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, Admin)
	if err != nil {
		return err
	}
	var in keyJSON
	if err := httpserver.ReadJSON(c, maxAdministration, &in); err != nil {
		return err
	}
	request, err := in.request(h.directory.now())
	if err != nil {
		return err
	}
	if by.Forbidden != nil {
		return by.Forbidden
	}
	k, err := h.directory.CreateKey(by.Acting(httpserver.Context(c)), by.Org, request)
	if err != nil {
		return err
	}
	return reveal(c, k.Reveal())
}

func (h *AdminHandler) keys(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, Admin)
	if err == nil {
		err = by.Forbidden
	}
	if err != nil {
		return err
	}
	all, err := h.directory.Keys(httpserver.Context(c), by.Org)
	if err != nil {
		return err
	}
	answer := struct {
		Keys []ShownKey `json:"apiKeys"`
	}{make([]ShownKey, len(all))}
	for i, k := range all {
		answer.Keys[i] = k.Show()
	}
	return c.JSON(answer)
}

func (h *AdminHandler) revokeKey(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, Admin, "force")
	if err != nil {
		return err
	}
	force, err := httpserver.QueryFlag(by.Parameters, "force")
	if err != nil {
		return err
	}
	text, err := httpserver.Param(c, "id")
	if err == nil {
		err = by.Forbidden
	}
	if err != nil {
		return err
	}
	id, err := ParseKeyID(text)
	if err != nil { // it is the server that makes ids: no other shape is one
		return leadevents.Errorf(leadevents.NotFound, "organization %d has no API key with that id", by.Org)
	}
	k, err := h.directory.RevokeKey(by.Acting(httpserver.Context(c)), by.Org, id, force)
	if e, ok := errors.AsType[*leadevents.Error](err); ok && e.Kind == leadevents.Conflict {
		return leadevents.Errorf(leadevents.Conflict, "%s (?force=true)", e.Message)
	}
	if err != nil {
		return err
	}
	return c.JSON(k.ShowRevocation())
}

func (h *AdminHandler) createSigningKey(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, Admin)
	if err != nil {
		return err
	}
	var in struct {
		Name string `json:"name"`
	}
	if err := httpserver.ReadJSON(c, maxAdministration, &in); err != nil {
		return err
	}
	if err := checkName("name", in.Name); err != nil {
		return err
	}
	if by.Forbidden != nil {
		return by.Forbidden
	}
	k, err := h.directory.CreateSigningKey(by.Acting(httpserver.Context(c)), by.Org, in.Name)
	if err != nil {
		return err
	}
	return reveal(c, k.Reveal())
}

func (h *AdminHandler) signingKeys(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, Admin)
	if err == nil {
		err = by.Forbidden
	}
	if err != nil {
		return err
	}
	all, err := h.directory.SigningKeys(httpserver.Context(c), by.Org)
	if err != nil {
		return err
	}
	answer := struct {
		Keys []ShownSigningKey `json:"signingKeys"`
	}{make([]ShownSigningKey, len(all))}
	for i, k := range all {
		answer.Keys[i] = k.Show()
	}
	return c.JSON(answer)
}

func (h *AdminHandler) revokeSigningKey(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, Admin)
	if err != nil {
		return err
	}
	text, err := httpserver.Param(c, "id")
	if err == nil {
		err = by.Forbidden
	}
	if err != nil {
		return err
	}
	id, err := ParseSigningKeyID(text)
	if err != nil {
		return leadevents.Errorf(leadevents.NotFound, "organization %d has no signing key with that id", by.Org)
	}
	k, silenced, err := h.directory.RevokeSigningKey(by.Acting(httpserver.Context(c)), by.Org, id)
	if err != nil {
		return err
	}
	return c.JSON(k.ShowRevocation(silenced))
}
