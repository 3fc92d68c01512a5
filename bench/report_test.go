package main

import "testing"

func TestTheFileSystemOfAFolderIsTold(t *testing.T) {
	for _, folder := range []string{"/proc", "/proc/self/fdinfo", "/proc/../proc/self"} {
		if kind := disk(folder); kind != "proc" {
			t.Errorf("%s is on %q, not proc", folder, kind)
		}
	}
	if kind := disk(t.TempDir()); kind == "" || kind == "proc" {
		t.Errorf("a temporary folder is on %q", kind)
	}
	if inside("/home2/x", "/home") || !inside("/home/x", "/home") || !inside("/home", "/") {
		t.Error("a folder is taken for one whose name begins with its own")
	}
}
