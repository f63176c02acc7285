package bench

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
)

//go:embed page
var page embed.FS

// WriteHTML writes r as one page for a browser, with plots. It loads nothing.
func (r Report) WriteHTML(to io.Writer) error {
	text := make(map[string]string)
	for _, name := range []string{"page.html", "page.css", "page.js"} {
		b, err := page.ReadFile("page/" + name)
		if err != nil {
			return fmt.Errorf("bench: %w", err)
		}
		text[name] = string(b)
	}
	t, err := template.New("page").Parse(text["page.html"])
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	data, err := json.Marshal(r) // which escapes what could end a script
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	var out bytes.Buffer
	err = t.Execute(&out, map[string]any{
		"Title":  fmt.Sprintf("quorate bench, %s", r.Begun.Format("2006-01-02 15:04")),
		"Style":  template.CSS(text["page.css"]), //nolint:gosec // our own
		"Script": template.JS(text["page.js"]),   //nolint:gosec // our own
		"Report": template.JS(data),              //nolint:gosec // escaped by Marshal
	})
	if err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	_, err = to.Write(out.Bytes())
	return err
}
