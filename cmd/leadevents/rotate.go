package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"leadevents"
	"leadevents/auth"
)

func newRotateMasterKey() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "rotate-master-key",
		Short:   "Encrypt all stored signing secrets anew, under the setting master_key",
		GroupID: "admin",
		Long: `Encrypts the signing secrets of all organizations anew that are under another master
key than the setting master_key. Servers go on meanwhile and refuse no signature,
where these steps are kept, each in every server before the next:

  1. the new key as next_master_key: servers read what is under it
  2. the new key as master_key, the one before as old_master_key, no
     next_master_key: new secrets are under the new key
  3. this command, once, with the settings of step 2
  4. ` + "`leadevents check`" + ` says that old_master_key is not needed: take it out

It can be interrupted and run again, and it changes nothing unless it can decrypt
everything. Keys stand in files (master_key_file, old_master_key_file) or in the
environment (LEADEVENTS_MASTER_KEY, LEADEVENTS_OLD_MASTER_KEY), not on the command
line. Standard output has the counts. A ` + "`leadevents dev`" + ` changes its own key
at a start: ` + "`leadevents dev --rotate-master-key`" + `.

If the old key is known to somebody who may have a copy of the database, replace the
signing keys too: what he has stays readable to him.`,
		Example: `  leadevents rotate-master-key --dry-run --config leadevents.yaml
  leadevents rotate-master-key --config leadevents.yaml`,
		Args: noArgs,
	}
	a := &administration{settings: addSettingsFlags(cmd)}
	cmd.Flags().BoolVar(&a.json, "json", false, "print the counts as JSON")
	var dryRun bool
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only decrypt everything and count")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.run(cmd, func(d *auth.Directory) error {
			r := rotated{DryRun: dryRun}
			var before auth.MasterKeyUse
			var err error
			if dryRun {
				before, err = d.ExamineMasterKeys(cmd.Context())
				r.use(before, before)
				if err == nil && !before.Readable {
					err = leadevents.Errorf(leadevents.Conflict, "%d signing secrets cannot be decrypted: see the line above", r.Unreadable)
				}
			} else {
				var after auth.MasterKeyUse
				before, after, err = d.RotateMasterKey(cmd.Context())
				r.use(before, after)
			}
			if r.MasterKeyID == "" { // nothing could be counted
				return err
			}
			if dryRun {
				for _, u := range before.Unreadable {
					explain(cmd, "%s", u)
				}
			}
			if printed := r.print(cmd.OutOrStdout(), a.json); err == nil {
				err = printed
			}
			return err
		})
	}
	return cmd
}

// rotated is what the command has come to.
type rotated struct {
	MasterKeyID string `json:"masterKeyId"`
	Secrets     int    `json:"secrets"`
	Reencrypted int    `json:"reencrypted"` // by this run
	Remaining   int    `json:"remaining"`   // under another key that can be read
	Unreadable  int    `json:"unreadable"`
	DryRun      bool   `json:"dryRun"`
}

func (r *rotated) use(before, after auth.MasterKeyUse) {
	r.MasterKeyID, r.Secrets = after.MasterKeyID, after.Secrets
	r.Reencrypted = max(0, before.Old-after.Old)
	r.Remaining, r.Unreadable = after.Old, len(after.Unreadable)
}

func (r *rotated) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, r)
	}
	return printTable(w, "masterKeyId secrets reencrypted remaining unreadable", [][]string{
		{r.MasterKeyID, fmt.Sprint(r.Secrets), fmt.Sprint(r.Reencrypted), fmt.Sprint(r.Remaining), fmt.Sprint(r.Unreadable)},
	})
}
