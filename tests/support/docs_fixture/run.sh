#!/bin/sh
program_verbs="search info"
case " $program_verbs test shell " in
esac
