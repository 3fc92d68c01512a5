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

// EventHandler serves /api/v1/event-types, /api/v1/events and one lead's events.
type EventHandler struct {
	events    *Events
	directory *auth.Directory
}

// NewEventHandler makes the handler.
func NewEventHandler(events *Events, directory *auth.Directory) *EventHandler {
	return &EventHandler{events: events, directory: directory}
}

// Register adds the endpoints.
func (h *EventHandler) Register(router fiber.Router) {
	router.Get("/api/v1/event-types", h.types)
	router.Get("/api/v1/events", h.list)
	router.Get("/api/v1/leads/:phone/events", h.ofLead)
}

func (h *EventHandler) types(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, auth.Query)
	if err != nil {
		return err
	}
	if by.Forbidden != nil {
		return by.Forbidden
	}
	ctx, stop := httpserver.Attended(c)
	defer stop()
	types, err := h.events.Types(ctx, by.Org)
	if err != nil {
		return err
	}
	type typeJSON struct {
		EventType string `json:"eventType"`
		Events    uint64 `json:"events"`
		Leads     uint64 `json:"leads"`
		FirstAt   string `json:"firstAt"`
		LastAt    string `json:"lastAt"`
	}
	answer := struct {
		EventTypes []typeJSON `json:"eventTypes"`
	}{make([]typeJSON, len(types))}
	for i, t := range types {
		answer.EventTypes[i] = typeJSON{t.EventType, t.Events, t.Leads, t.FirstAt.String(), t.LastAt.String()}
	}
	return c.JSON(answer)
}

func (h *EventHandler) list(c *fiber.Ctx) error { return h.ask(c, "", "phone") }

// ofLead is the list for the phone in the path.
func (h *EventHandler) ofLead(c *fiber.Ctx) error { return h.ask(c, "phone") }

// ask answers a question about events, with a page or an export.
func (h *EventHandler) ask(c *fiber.Ctx, inPath string, more ...string) error {
	names := append([]string{"eventType...", "from", "to", "where", "format", "limit", "cursor"}, more...)
	want := limits.Want{}
	if c.Context().QueryArgs().Has("format") { // asked before the rest, as a limit must be
		want.Place = leadevents.ConcurrentExports
	}
	by, err := h.directory.AsksFor(c, auth.Query, want, names...)
	if err != nil {
		return err
	}
	given := by.Parameters
	phone := given["phone"]
	if inPath != "" {
		if phone, err = httpserver.Param(c, inPath); err != nil {
			return err
		}
		if _, err := phoneOf("the phone in the path", phone); err != nil {
			return err
		}
	}
	q, err := ParseEventQuery(EventParameters{
		EventTypes: httpserver.QueryValues(c, "eventType"), Phone: phone, From: given["from"], To: given["to"], Where: given["where"],
	})
	if err != nil {
		return err
	}
	if given["format"] != "" {
		return h.export(c, by, q)
	}
	limit, err := limit(by, DefaultEventsPage, MaxEventsPage)
	if err != nil {
		return err
	}
	if by.Forbidden != nil { // a cursor is an organization's
		return by.Forbidden
	}
	ctx, stop := httpserver.Attended(c)
	defer stop()
	page, next, err := h.events.Page(ctx, by.Org, q, given["cursor"], limit)
	if err != nil {
		return err
	}
	body := append(make([]byte, 0, 64+200*len(page)), `{"events":[`...)
	for i := range page {
		if i > 0 {
			body = append(body, ',')
		}
		if body, err = appendEvent(body, &page[i]); err != nil {
			return err
		}
	}
	body = append(body, `],"nextCursor":`...)
	if next == "" {
		body = append(body, "null"...) // at the end
	} else {
		body = append(append(append(body, '"'), next...), '"') // base64: nothing to escape
	}
	c.Set(fiber.HeaderContentType, fiber.MIMEApplicationJSON)
	c.Context().Response.SetBodyRaw(append(body, '}'))
	return nil
}

// export streams all that is asked for.
func (h *EventHandler) export(c *fiber.Ctx, by auth.Asker, q audience.EventQuery) error {
	for _, name := range []string{"limit", "cursor"} {
		if by.Parameters[name] != "" {
			return leadevents.Errorf(leadevents.InvalidRequest, "%s is for pages: with format all events are streamed, which from and to divide", name)
		}
	}
	name := by.Parameters["format"]
	format, known := eventFormats[name]
	if !known {
		return leadevents.Errorf(leadevents.InvalidRequest, "format must be one of %s", strings.Join(slices.Sorted(maps.Keys(eventFormats)), ", "))
	}
	if by.Forbidden != nil {
		return by.Forbidden
	}
	return httpserver.Stream(c, format.contentType, func(ctx context.Context, w io.Writer) error {
		file := format.begin(w)
		if err := h.events.Export(by.Acting(ctx), by.Org, q, name, file.write); err != nil {
			return err
		}
		return file.end()
	})
}
