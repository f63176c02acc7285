package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/crypto"
)

// keyFileBytesMax bounds what inspect reads.
const keyFileBytesMax = 16 << 10

func newKeys(c *console) *cobra.Command {
	return group("keys", "Make and look at key files", `  quorate keys new me.key --plain
  quorate keys show me.key --plain
  quorate keys inspect me.key`,
		newKeysNew(c), newKeysShow(c), newKeysInspect(c))
}

// keyInfo is what keys new and keys show print.
type keyInfo struct {
	File   string `json:"file"`
	Public string `json:"public"`
}

func (k keyInfo) show(c *console) error { return c.show(pairs("file", k.File, "public", k.Public), k) }

func newKeysNew(c *console) *cobra.Command {
	var flags keyFlags
	cmd := &cobra.Command{
		Use:   "new FILE",
		Short: "Make a new key, for a client or a replica",
		Long: `New makes a random ed25519 key and writes it to FILE, encrypted with a passphrase
unless --plain is given. It never overwrites a file.`,
		Example: "  quorate keys new me.key\n  quorate keys new me.key --plain",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			save, err := flags.saver(cmd.Context(), c)
			if err != nil {
				return err
			}
			key, err := crypto.GenerateKey(nil)
			if err != nil {
				return err
			}
			if err := save(args[0], key); err != nil {
				return err
			}
			return keyInfo{args[0], key.Public().String()}.show(c)
		},
	}
	flags.add(cmd.Flags(), "plain")
	return cmd
}

func newKeysShow(c *console) *cobra.Command {
	var flags keyFlags
	cmd := &cobra.Command{
		Use:     "show FILE",
		Short:   "Open a key file and print its public key",
		Long:    "Show opens FILE, which proves that the passphrase is right and the file intact.",
		Example: "  quorate keys show me.key\n  quorate keys show cluster/r0/key --plain",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := flags.load(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			return keyInfo{args[0], key.Public().String()}.show(c)
		},
	}
	flags.add(cmd.Flags(), "plain")
	return cmd
}

// keyFileInfo is what keys inspect prints.
type keyFileInfo struct {
	File       string `json:"file"`
	Mode       string `json:"mode"`
	Protection string `json:"protection"`
	Public     string `json:"public"`
	KDF        string `json:"kdf,omitempty"`
}

func newKeysInspect(c *console) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect FILE",
		Short: "Print what a key file says without its passphrase",
		Long: `Inspect prints what is readable in FILE: how it is protected, and the public key
that it claims to hold. It refuses a file that is cut short or damaged; it checks no
passphrase: 'keys show' does.`,
		Example: "  quorate keys inspect cluster/r0/key",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			info, err := inspectKey(args[0])
			if err != nil {
				return usageError{err}
			}
			fields := []string{
				"file", info.File, "mode", info.Mode, "protection", info.Protection, "public", info.Public,
			}
			if info.KDF != "" {
				fields = append(fields, "kdf", info.KDF)
			}
			return c.show(pairs(fields...), info)
		},
	}
}

func inspectKey(path string) (keyFileInfo, error) {
	stat, err := os.Lstat(path)
	if err != nil {
		return keyFileInfo{}, err
	}
	if !stat.Mode().IsRegular() || stat.Size() > keyFileBytesMax {
		return keyFileInfo{}, fmt.Errorf("%s is no key file: not a small regular file", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return keyFileInfo{}, err
	}
	public, encrypted, err := crypto.CheckKeyText(path, text)
	if err != nil {
		return keyFileInfo{}, err
	}
	info := keyFileInfo{
		File: path, Mode: stat.Mode().Perm().String(), Public: public.String(),
		Protection: "none: whoever reads the file has the key",
	}
	if !encrypted {
		return info, nil
	}
	fields := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		fields[name] = value
	}
	info.Protection = "passphrase"
	info.KDF = fmt.Sprintf("argon2id time=%s memory=%sKiB threads=%s", fields["time"], fields["memory"], fields["threads"])
	return info, nil
}
