/* The terminal: colour, questions, tables, errors, exit statuses.  SPDX-License-Identifier: MIT */
#include "ui/ui.h"

#include "base/mem.h"
#include "model/json.h"
#include <langinfo.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

static bool colour_for(const struct ui *ui, FILE *f)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM"); /* https://no-color.org */
    if (ui->color != UI_COLOR_AUTO)
        return ui->color == UI_COLOR_ALWAYS;
    return isatty(fileno(f)) && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
}

void ui_term_init(struct ui *ui)
{
    ui->color_out = colour_for(ui, stdout);
    ui->color_err = colour_for(ui, stderr);
    ui->utf8 = strcasecmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

static bool coloured(const struct ui *ui, FILE *f)
{
    return f == stderr ? ui->color_err : f == stdout && ui->color_out;
}

const char *ui_style(const struct ui *ui, FILE *f, enum ui_style style)
{
    static const char *const codes[] = {
        [UI_PLAIN] = "",         [UI_BOLD] = "\033[1m", [UI_DIM] = "\033[2m",
        [UI_GREEN] = "\033[32m", [UI_RED] = "\033[31m", [UI_YELLOW] = "\033[33m",
    };
    return coloured(ui, f) ? codes[style] : "";
}

const char *ui_reset(const struct ui *ui, FILE *f)
{
    return coloured(ui, f) ? "\033[0m" : "";
}

void ui_note(const struct ui *ui, const char *fmt, ...)
{
    va_list args;
    (void)ui;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

void ui_warn(const struct ui *ui, const char *fmt, ...)
{
    va_list args;
    fprintf(stderr, "%swarning:%s ", ui_style(ui, stderr, UI_YELLOW), ui_reset(ui, stderr));
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
}

char *ui_plain(const char *text)
{
    char *plain = text ? ferry_calloc(strlen(text) + 1, 4) : NULL, *at = plain;
    mbstate_t state = {0};
    wchar_t c;
    for (size_t left = text ? strlen(text) : 0, n; left; left -= n, text += n) {
        n = mbrtowc(&c, text, left, &state);
        if (n <= left && iswprint((wint_t)c)) {
            at = mempcpy(at, text, n);
            continue;
        }
        if (n > left) { /* no character of this locale */
            state = (mbstate_t){0};
            n = 1;
        }
        for (size_t i = 0; i < n; i++)
            at += sprintf(at, "\\x%02x", (unsigned char)text[i]);
    }
    return plain;
}

const char *ui_arrow(const struct ui *ui)
{
    return ui->utf8 ? "\u2192" : "->";
}

const char *ui_dash(const struct ui *ui)
{
    return ui->utf8 ? "\u2014" : "-";
}

const char *ui_dots(const struct ui *ui)
{
    return ui->utf8 ? "\u2026" : "...";
}

bool ui_can_ask(void)
{
    return isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

bool ui_ask(const struct ui *ui, const char *question)
{
    FERRY_AUTOFREE char *line = NULL;
    size_t size = 0;
    fprintf(stderr, "%s%s [yes/no]%s ", ui_style(ui, stderr, UI_BOLD), question, ui_reset(ui, stderr));
    fflush(stderr);
    if (getline(&line, &size, stdin) < 0)
        return false;
    line[strcspn(line, "\r\n")] = '\0';
    return strcasecmp(line, "yes") == 0 || strcasecmp(line, "y") == 0;
}

int ui_exit_status(int code)
{
    switch ((enum ferry_errno) - code) {
    case FERRY_EUSAGE:
        return UI_USAGE;
    case FERRY_EINPUT:
        return UI_INPUT;
    case FERRY_EDRIFT:
        return UI_DRIFT;
    case FERRY_EREFUSED:
        return UI_REFUSED;
    case FERRY_ELOCKED:
        return UI_LOCKED;
    case FERRY_EUNKNOWN:
        return UI_UNKNOWN;
    case FERRY_EIO:
    case FERRY_ESUPPORT:
        return UI_ERROR;
    }
    return UI_ERROR;
}

void ui_print_json(struct json_object *doc)
{
    FERRY_AUTOFREE char *text = ferry_json_write(doc, true);
    fputs(text, stdout);
    json_object_put(doc);
}

int ui_fail(struct ui *ui, int code)
{
    int status = ui_exit_status(code);
    const char *rule = code == -FERRY_EREFUSED && ui->err.rule[0] ? ui->err.rule : NULL;
    if (!ui->json) {
        fprintf(stderr, "%sferry: %s%s%s", ui_style(ui, stderr, UI_RED), rule ? "refused (" : "",
                rule ? rule : "", rule ? "): " : "");
        fprintf(stderr, "%s%s\n", ui->err.text, ui_reset(ui, stderr));
        return status;
    }
    struct json_object *doc = ui->details ? json_object_get(ui->details) : json_object_new_object();
    struct json_object *error = json_object_new_object();
    json_object_object_add(error, "code", json_object_new_int(status));
    json_object_object_add(error, "rule", rule ? json_object_new_string(rule) : NULL);
    json_object_object_add(error, "message", json_object_new_string(ui->err.text));
    json_object_object_add(doc, "error", error);
    ui_print_json(doc);
    return status;
}

struct libscols_table *ui_table_new(const struct ui *ui, FILE *f, const char *const *columns)
{
    struct libscols_table *table = scols_new_table();
    if (!table)
        abort();
    scols_table_set_stream(table, f);
    scols_table_enable_colors(table, coloured(ui, f));
    for (size_t i = 0; columns[i]; i++)
        if (!scols_table_new_column(table, columns[i], 0, columns[i + 1] ? 0 : SCOLS_FL_WRAP))
            abort();
    return table;
}

void ui_table_row(struct libscols_table *table, const char *const *cells, enum ui_style style)
{
    static const char *const names[] = {[UI_PLAIN] = NULL,    [UI_BOLD] = "bold", [UI_DIM] = "dark",
                                        [UI_GREEN] = "green", [UI_RED] = "red",   [UI_YELLOW] = "yellow"};
    struct libscols_line *line = scols_table_new_line(table, NULL);
    if (!line)
        abort();
    for (size_t i = 0; i < scols_table_get_ncols(table); i++)
        scols_line_set_data(line, i, cells[i] ? cells[i] : "-");
    if (names[style])
        scols_line_set_color(line, names[style]);
}

void ui_table_print(struct libscols_table *table)
{
    scols_print_table(table);
    scols_unref_table(table);
}
