package query

import (
	"context"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v2"

	"leadevents"
	"leadevents/auth"
	"leadevents/internal/httpserver"
	"leadevents/internal/limits"
)

// maxSQLBody bounds the JSON around a statement: the contract's 10 MB.
const maxSQLBody = 10 << 20

// SQLHandler serves /api/v1/sql and what lies below it.
type SQLHandler struct {
	sql       *SQL
	directory *auth.Directory
}

// NewSQLHandler makes the handler.
func NewSQLHandler(sql *SQL, directory *auth.Directory) *SQLHandler {
	return &SQLHandler{sql: sql, directory: directory}
}

// Register adds the endpoints.
func (h *SQLHandler) Register(router fiber.Router) {
	router.Post("/api/v1/sql", httpserver.Precheck(maxSQLBody), h.run)
	router.Get("/api/v1/sql/schema", h.schema)
}

// sqlJSON is a statement as clients send it.
type sqlJSON struct {
	Query  *string                   `json:"query"`
	Params map[string]jsontext.Value `json:"params"`
}

func (h *SQLHandler) run(c *fiber.Ctx) error {
	by, err := h.directory.AsksFor(c, auth.Query, limits.Want{Place: leadevents.ConcurrentExports}, "format")
	if err != nil {
		return err
	}
	var in sqlJSON
	if err := httpserver.ReadJSON(c, maxSQLBody, &in); err != nil {
		return err
	}
	if in.Query == nil {
		return leadevents.Errorf(leadevents.InvalidRequest, "query is missing: a SELECT as a string")
	}
	q, err := h.sql.Read(*in.Query, in.Params, by.Parameters["format"])
	if err != nil {
		return err
	}
	if by.Forbidden != nil {
		return by.Forbidden
	}
	return httpserver.Stream(c, sqlFormats[q.format].contentType, func(ctx context.Context, w io.Writer) error {
		ctx, cancel := context.WithTimeout(ctx, h.sql.Timeout())
		defer cancel()
		return h.sql.Run(by.Acting(ctx), by.Org, q, httpserver.Until(ctx, w))
	})
}

func (h *SQLHandler) schema(c *fiber.Ctx) error {
	by, err := h.directory.Asks(c, auth.Query)
	if err != nil {
		return err
	}
	if by.Forbidden != nil {
		return by.Forbidden
	}
	schema, err := h.sql.Schema(httpserver.Context(c), by.Org)
	if err != nil {
		return err
	}
	return c.JSON(schema)
}
