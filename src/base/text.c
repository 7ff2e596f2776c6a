/* Text that grows. */
#include "base/base.h"

void tw_text_add_bytes(tw_text *text, const char *data, size_t bytes)
{
    if (text->failed)
        return;
    if (text->count + bytes + 1 > text->capacity) {
        size_t capacity = TW_MAX(2 * text->capacity, text->count + bytes + 1);
        char *grown = tw_realloc(text->data, TW_MAX(capacity, (size_t)128));
        if (!grown) {
            text->failed = true;
            return;
        }
        text->data = grown;
        text->capacity = TW_MAX(capacity, (size_t)128);
    }
    memcpy(text->data + text->count, data, bytes);
    text->count += bytes;
    text->data[text->count] = '\0';
}

void tw_text_add(tw_text *text, const char *format, ...)
{
    char small[256];
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(small, sizeof small, format, arguments);
    if (length >= 0 && (size_t)length < sizeof small) {
        tw_text_add_bytes(text, small, (size_t)length);
    } else if (length >= 0) {
        char *large = tw_alloc((size_t)length + 1);
        if (large) {
            vsnprintf(large, (size_t)length + 1, format, again);
            tw_text_add_bytes(text, large, (size_t)length);
        } else {
            text->failed = true;
        }
        tw_free(large);
    }
    va_end(again);
    va_end(arguments);
}

const char *tw_text_string(const tw_text *text)
{
    return text->data ? text->data : "";
}

void tw_text_free(tw_text *text)
{
    tw_free(text->data);
    *text = (tw_text){0};
}
