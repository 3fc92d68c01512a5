//go:build !linux

package embedded

func runEngine(string, []string) error { return errPlatform() }
