//! The schedule, as EventBridge Scheduler knows it.

use aws_sdk_scheduler::types::ScheduleState;
use chrono::DateTime;

use super::ask;
use crate::aws::Aws;
use crate::doctor::answer::Answer;
use crate::doctor::schedule::Schedule;

impl Aws {
    /// The schedule of this name.
    pub(crate) async fn schedule(&self, name: &str) -> Answer<Schedule> {
        let client = aws_sdk_scheduler::Client::new(&self.config);
        let answer = ask("scheduler:GetSchedule", client.get_schedule().name(name).send()).await?;
        let target = answer.target.as_ref();
        let dead_letters = target.and_then(|target| target.dead_letter_config());
        Ok(Schedule {
            is_enabled: answer.state == Some(ScheduleState::Enabled),
            expression: answer.schedule_expression.clone().unwrap_or_default(),
            time_zone: answer.schedule_expression_timezone.clone().unwrap_or_else(|| "UTC".to_owned()),
            ends: answer.end_date.and_then(|end| DateTime::from_timestamp(end.secs(), end.subsec_nanos())),
            target: target.map(|target| target.arn().to_owned()).unwrap_or_default(),
            input: target.and_then(|target| target.input()).unwrap_or_default().to_owned(),
            dead_letter_queue: dead_letters.and_then(|queue| queue.arn()).map(str::to_owned),
        })
    }
}
