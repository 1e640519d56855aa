#include "models/ensemble_join.h"

#include "models/served.h"

bool ensemble_join_text(const ensemble *m, uint32_t flow, const served *member, uint32_t input)
{
    bool text = flow < m->ios->input_count && m->ios->inputs[flow].type == DT_STRING;
    return text && pipeline_takes(member->pipeline, input);
}

static bool has_input(const ensemble *m, str name)
{
    for (uint32_t i = 0; i < m->ios->input_count; i++)
        if (str_eq(m->ios->inputs[i].name, name)) return true;
    return false;
}

/* May a request bring more than one there?  Of text the shape counts pictures, of numbers it may have a batch. */
static bool counts(const ensemble *m, uint32_t flow)
{
    const model_io *io = &m->ios->inputs[flow];
    if (m->batches) return true;
    return io->type == DT_STRING ? io->shape.rank > 0 && io->shape.dim[0] != 1 : io->shape.rank == 4;
}

static void input_join(pipeline *to, const ensemble *m, uint32_t flow, const pipeline_input *from)
{
    pipeline_input *in = &to->inputs[flow];
    if (in->image) return;   /* by the first who reads it */
    *in = *from;
    in->batch = from->batch && counts(m, flow);
    in->name = (str){0};
    if (from->name.p && !has_input(m, from->name) && pipeline_image(to, from->name) < 0) in->name = from->name;
}

/* Which of the ensemble's outputs is the member's output; -1 = none. */
static int64_t output_of(const ensemble *m, const ensemble_stage *st, const served *member, uint32_t output)
{
    for (uint32_t k = 0; k < st->out_count; k++) {
        if (served_output_index(member, st->out[k].name) != (int32_t)output) continue;
        for (uint32_t i = 0; i < m->ios->output_count; i++)
            if (m->outputs[i] == st->out[k].flow) return i;
    }
    return -1;
}

static bool hides_output(const ensemble *m, const pipeline_answer *a)
{
    for (uint32_t i = 0; i < m->ios->output_count; i++)
        for (uint32_t k = 0; k < a->output_count; k++)
            if (str_eq(m->ios->outputs[i].name, a->outputs[k].name)) return true;
    return false;
}

static void answer_join(pipeline *to, const ensemble *m, const ensemble_stage *st, const served *member)
{
    const pipeline_answer *a = &member->pipeline->answer;
    if (a->kind == ANSWER_NONE || to->answer.kind != ANSWER_NONE || hides_output(m, a)) return;
    int64_t scores = output_of(m, st, member, a->scores);
    int64_t boxes = a->kind == ANSWER_BOXES ? output_of(m, st, member, a->boxes) : scores;
    if (scores < 0 || boxes < 0) return;
    to->answer = *a;
    to->answer.scores = (uint32_t)scores;
    to->answer.boxes = (uint32_t)boxes;
}

void ensemble_join_step(pipeline *to, const ensemble *m, uint32_t step, const served *member)
{
    const ensemble_stage *st = &m->stages[step];
    const pipeline *p = member->pipeline;
    to->input_count = m->ios->input_count;
    for (uint32_t k = 0; p && k < st->in_count; k++) {
        int32_t i = served_input_index(member, st->in[k].name);
        if (st->in[k].flow >= to->input_count || i < 0 || !pipeline_takes(p, (uint32_t)i)) continue;
        input_join(to, m, st->in[k].flow, &p->inputs[i]);
    }
    if (p) answer_join(to, m, st, member);
}

void ensemble_join_end(pipeline *to, const ensemble *m)
{
    uint32_t count = 0;
    to->image = -1;
    for (uint32_t i = 0; i < to->input_count; i++)
        if (to->inputs[i].image && count++ == 0) to->image = (int32_t)i;
    if (count != 1) to->image = -1;
    bool draws = to->answer.kind == ANSWER_BOXES && (to->image < 0 || to->inputs[to->image].image->draft);
    if (draws || count == 0) to->answer = (pipeline_answer){.kind = ANSWER_NONE};   /* boxes lie in one picture */
    if (to->image >= 0 && !to->inputs[to->image].name.p && !has_input(m, STR("image")))
        to->inputs[to->image].name = STR("image");
}
