package httpserver

import (
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"leadevents"
)

// QueryParameters reads the query string: only the named ones, each once, none empty.
// Values are copies, absent ones are "".
func QueryParameters(c *fiber.Ctx, names ...string) (map[string]string, error) {
	given := map[string]string{}
	var err error
	for key, value := range c.Context().QueryArgs().All() {
		name := string(key)
		_, twice := given[name]
		switch {
		case err != nil:
		case !slices.Contains(names, name):
			err = leadevents.Errorf(leadevents.InvalidRequest, "the query parameter %q is unknown here; known are: %s", name, knownParameters(names))
		case twice:
			err = leadevents.Errorf(leadevents.InvalidRequest, "the query parameter %s stands there twice", name)
		case len(value) == 0:
			err = leadevents.Errorf(leadevents.InvalidRequest, "the query parameter %s is empty", name)
		}
		given[name] = string(value)
	}
	return given, err
}

// QueryFlag is a parameter that is true or false; absent is false.
func QueryFlag(given map[string]string, name string) (bool, error) {
	switch given[name] {
	case "true":
		return true, nil
	case "false", "":
		return false, nil
	}
	return false, leadevents.Errorf(leadevents.InvalidRequest, "the query parameter %s must be true or false", name)
}

func knownParameters(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
